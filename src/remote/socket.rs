//! The wire: a byte stream to an address.
//!
//! Exists so that everything above it, TLS included, runs over pipes in memory in tests. Knows
//! nothing of what is said, nor of whether it may be said.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use belfry_data::BoxFuture;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};

/// A byte stream in both directions.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Somebody who can open streams.
pub trait Sockets: Send + Sync {
    /// Opens a stream to an address that was found to be permitted.
    fn open(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>>;
}

/// TCP, as the system has it.
#[derive(Debug, Clone, Copy)]
pub struct Tcp;

impl Sockets for Tcp {
    fn open(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        })
    }
}

/// A stream with its place among the connections that there may be; the place is given back when
/// it is dropped.
pub(crate) struct Placed {
    stream: Box<dyn Socket>,
    _place: OwnedSemaphorePermit,
}

impl Placed {
    pub(crate) fn new(stream: Box<dyn Socket>, place: OwnedSemaphorePermit) -> TokioIo<Self> {
        TokioIo::new(Self {
            stream,
            _place: place,
        })
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connection for Placed {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
