//! Pictures in smaller sizes: pure, from bytes to bytes.
//!
//! Exists so that what decodes strangers' pictures is one place with limits. Only PNG, JPEG, GIF and
//! WebP are decoded, told by their first bytes, whatever the uploader called them. Knows nothing of
//! where pictures lie.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
};

use crate::error::MediaError;

/// Pictures with more pixels are not decoded.
pub const PIXELS_MAX: u64 = 32_000_000;
/// Pictures of more bytes are not decoded.
pub const SOURCE_BYTES_MAX: u64 = 32 << 20;

/// Bytes that a decoder may take: four for each pixel, twice over for formats that need two copies.
const DECODER_BYTES_MAX: u64 = PIXELS_MAX * 8;
/// Quality of JPEG thumbnails: what is lost is not seen at these sizes.
const JPEG_QUALITY: u8 = 80;

/// How a picture is brought to another shape (Client-Server API, "Thumbnails").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The whole picture, within the size.
    Scale,
    /// The middle of the picture, of exactly this shape.
    Crop,
}

/// A size that thumbnails are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// How it gets that size.
    pub method: Method,
}

/// The sizes that are made: those that the spec names and one for large screens. Any other is
/// served by the next larger one, so that a client cannot have any number of them made.
const SIZES: [Size; 7] = [
    size(32, 32, Method::Crop),
    size(96, 96, Method::Crop),
    size(320, 320, Method::Crop),
    size(320, 240, Method::Scale),
    size(640, 480, Method::Scale),
    size(800, 600, Method::Scale),
    size(1600, 1200, Method::Scale),
];

const fn size(width: u32, height: u32, method: Method) -> Size {
    Size {
        width,
        height,
        method,
    }
}

impl Size {
    /// The size to make if this one is asked for: the smallest of its method that is no smaller,
    /// else the largest.
    #[must_use]
    pub fn to_make(self) -> Self {
        let of_method = || SIZES.iter().filter(|size| size.method == self.method);
        let enough = |size: &&Self| size.width >= self.width && size.height >= self.height;
        let found = of_method().find(enough).or_else(|| of_method().next_back());
        found.copied().unwrap_or(self)
    }

    /// Its name among the thumbnails of a picture.
    pub(crate) fn variant(self) -> String {
        let method = match self.method {
            Method::Scale => "scale",
            Method::Crop => "crop",
        };
        format!("{}x{}-{method}", self.width, self.height)
    }
}

/// A picture that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) content: Vec<u8>,
    pub(crate) content_type: &'static str,
}

/// Makes a picture in this size; `None` if the source is no larger than that, for nothing is scaled
/// up.
pub(crate) fn make(source: &[u8], size: Size) -> Result<Option<Made>, MediaError> {
    let format = format_of(source)?;
    let (width, height) = reader(source, format)
        .into_dimensions()
        .map_err(|_| MediaError::NotAPicture)?;
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(MediaError::TooManyPixels);
    }
    let picture = decode(source, format)?;
    let fits = picture.width() <= size.width && picture.height() <= size.height;
    if fits {
        return Ok(None);
    }
    let small = match size.method {
        Method::Scale => scale(&picture, size),
        Method::Crop => crop(&picture, size),
    };
    encode(&small).map(Some)
}

/// One of the four, by the first bytes.
fn format_of(source: &[u8]) -> Result<ImageFormat, MediaError> {
    use ImageFormat::{Gif, Jpeg, Png, WebP};
    match image::guess_format(source) {
        Ok(format @ (Gif | Jpeg | Png | WebP)) => Ok(format),
        _ => Err(MediaError::NotAPicture),
    }
}

fn reader(source: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(source), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    reader.limits(limits);
    reader
}

/// The picture as it is to be looked at: cameras tell in EXIF which side is up.
fn decode(source: &[u8], format: ImageFormat) -> Result<DynamicImage, MediaError> {
    let not_a_picture = |_| MediaError::NotAPicture;
    let mut decoder = reader(source, format)
        .into_decoder()
        .map_err(not_a_picture)?;
    let orientation = decoder.orientation();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(not_a_picture)?;
    if let Ok(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

/// Large steps are made fast, the last one well.
fn scale(picture: &DynamicImage, size: Size) -> DynamicImage {
    let rough = (size.width * 2, size.height * 2);
    let near = if picture.width() > rough.0 && picture.height() > rough.1 {
        picture.thumbnail(rough.0, rough.1)
    } else {
        picture.clone()
    };
    near.resize(size.width, size.height, FilterType::Triangle)
}

/// The middle, of the size's shape and never scaled up.
fn crop(picture: &DynamicImage, size: Size) -> DynamicImage {
    let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
    let (to_width, to_height) = (u64::from(size.width), u64::from(size.height));
    let clamp = |pixels: u64| u32::try_from(pixels.max(1)).unwrap_or(u32::MAX);
    let (cut_width, cut_height) = if width * to_height > height * to_width {
        (clamp(height * to_width / to_height), picture.height())
    } else {
        (picture.width(), clamp(width * to_height / to_width))
    };
    let (x, y) = (
        (picture.width() - cut_width) / 2,
        (picture.height() - cut_height) / 2,
    );
    let middle = picture.crop_imm(x, y, cut_width, cut_height);
    if cut_width <= size.width {
        middle
    } else {
        scale(&middle, size)
    }
}

/// PNG where something is transparent, JPEG else.
fn encode(picture: &DynamicImage) -> Result<Made, MediaError> {
    let mut content = Vec::new();
    let (written, content_type) = if picture.color().has_alpha() {
        let encoder = PngEncoder::new(&mut content);
        (picture.write_with_encoder(encoder), "image/png")
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut content, JPEG_QUALITY);
        let picture = DynamicImage::ImageRgb8(picture.to_rgb8());
        (picture.write_with_encoder(encoder), "image/jpeg")
    };
    written.map_err(|error| MediaError::Broken(format!("a thumbnail was not written: {error}")))?;
    Ok(Made {
        content,
        content_type,
    })
}
