//! Pictures that move, in smaller sizes that move.
//!
//! What comes out is GIF: the one moving format that every client shows and that can be written
//! here. Knows nothing of pictures at rest.

use std::io::Cursor;

use image::{
    AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder as _, ImageFormat, ImageResult,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        png::PngDecoder,
        webp::WebPDecoder,
    },
};

use crate::{
    error::MediaError,
    picture::{Made, Order, limits, shrink},
};

/// Frames that an animation may have; one with more rests.
pub(crate) const FRAMES_MAX: usize = 500;
/// Pixels of all frames together; an animation with more rests.
pub(crate) const FRAME_PIXELS_MAX: u64 = 200_000_000;
/// Bytes that come out at most; what would be larger rests.
pub(crate) const MOVING_BYTES_MAX: usize = 16 << 20;
/// How thoroughly colours are chosen, from 1 to 30, the fastest.
const SPEED: i32 = 20;

/// Makes the animation in this size; `None` if it has one frame only, or is beyond a limit.
pub(crate) fn make(
    source: &[u8],
    format: ImageFormat,
    order: Order<'_>,
) -> Result<Option<Made>, MediaError> {
    let Ok(frames) = frames(source, format) else {
        return Err(MediaError::NotAPicture);
    };
    let mut content = Vec::new();
    let Some(count) = write(frames, order, &mut content) else {
        return Ok(None);
    };
    if count < 2 || content.len() > MOVING_BYTES_MAX {
        return Ok(None);
    }
    Ok(Some(Made {
        content,
        content_type: "image/gif",
    }))
}

fn frames(source: &[u8], format: ImageFormat) -> ImageResult<Frames<'_>> {
    let source = Cursor::new(source);
    match format {
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(source)?;
            decoder.set_limits(limits())?;
            Ok(decoder.into_frames())
        }
        ImageFormat::WebP => {
            let mut decoder = WebPDecoder::new(source)?;
            decoder.set_limits(limits())?;
            Ok(decoder.into_frames())
        }
        _ => Ok(PngDecoder::with_limits(source, limits())?
            .apng()?
            .into_frames()),
    }
}

/// Writes frame after frame, so that there is never more than one; how many. `None` beyond a limit,
/// and for what cannot be read to its end.
fn write(frames: Frames<'_>, order: Order<'_>, content: &mut Vec<u8>) -> Option<usize> {
    let mut encoder = GifEncoder::new_with_speed(content, SPEED);
    encoder.set_repeat(Repeat::Infinite).ok()?;
    let (mut count, mut pixels) = (0, 0_u64);
    for frame in frames {
        let frame = frame.ok()?;
        let delay = frame.delay();
        let picture = DynamicImage::ImageRgba8(frame.into_buffer());
        count += 1;
        pixels += u64::from(picture.width()) * u64::from(picture.height());
        if count > FRAMES_MAX || pixels > FRAME_PIXELS_MAX || (order.late)() {
            return None;
        }
        let small = shrink(&picture, order.size).into_rgba8();
        let written = encoder.encode_frame(Frame::from_parts(small, 0, 0, delay));
        written.ok()?;
    }
    Some(count)
}
