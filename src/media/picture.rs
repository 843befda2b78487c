//! Pictures in smaller sizes: pure, from bytes to bytes.
//!
//! Exists so that what decodes strangers' pictures is one place with limits. Only PNG, JPEG, GIF and
//! WebP are decoded, told by their first bytes, whatever the uploader called them. Knows nothing of
//! where pictures lie, nor of those that move, but for their first frame.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngDecoder, png::PngEncoder, webp::WebPDecoder},
    imageops::FilterType,
    metadata::Orientation,
};

use crate::{animation, error::MediaError};

/// Pictures with more pixels are not decoded.
pub const PIXELS_MAX: u64 = 32_000_000;
/// Pictures of more bytes are not decoded.
pub const SOURCE_BYTES_MAX: u64 = 32 << 20;

/// First bytes by which a format is told.
pub(crate) const HEAD_BYTES: usize = 16;
/// Bytes that a decoder may take: four for each pixel, twice over for formats that need two copies.
const DECODER_BYTES_MAX: u64 = PIXELS_MAX * 8;
/// Larger pictures are made in one fast step: at that size nobody sees the difference, and the other
/// way costs three times as much.
const FINE_PIXELS_MAX: u64 = 800 * 600;
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
const SIZES: [Size; 8] = [
    size(32, 32, Method::Crop),
    size(96, 96, Method::Crop),
    size(320, 320, Method::Crop),
    size(640, 640, Method::Crop),
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
    /// The size to make if this one is asked for: the smallest of its method that is no smaller.
    /// `None` if there is none: the picture itself is shown then, for nobody gets less than asked.
    #[must_use]
    pub fn to_make(self) -> Option<Self> {
        let of_method = SIZES.iter().filter(|size| size.method == self.method);
        let mut enough = of_method.filter(|it| it.width >= self.width && it.height >= self.height);
        enough.next().copied()
    }

    /// The names of all thumbnails that a picture can have.
    pub(crate) fn variants() -> Vec<String> {
        let both = |size: &Self| [size.variant(false), size.variant(true)];
        SIZES.iter().flat_map(both).collect()
    }

    fn turned(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
            ..self
        }
    }

    /// Its name among the thumbnails of a picture.
    pub(crate) fn variant(self, moving: bool) -> String {
        let method = match self.method {
            Method::Scale => "scale",
            Method::Crop => "crop",
        };
        let moving = if moving { "-moving" } else { "" };
        format!("{}x{}-{method}{moving}", self.width, self.height)
    }
}

/// A picture that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) content: Vec<u8>,
    pub(crate) content_type: &'static str,
}

/// What is wanted of a picture.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) size: Size,
    /// Whether one that moves is to move.
    pub(crate) moving: bool,
    /// Whether the time is over.
    pub(crate) late: &'a dyn Fn() -> bool,
}

/// How many pixels the picture has, by its first bytes; `None` if more of it has to be read.
pub(crate) fn pixels(head: &[u8]) -> Result<Option<u64>, MediaError> {
    let format = format_of(head)?;
    let Ok((width, height)) = reader(head, format).into_dimensions() else {
        return Ok(None);
    };
    check_pixels(width, height).map(Some)
}

fn check_pixels(width: u32, height: u32) -> Result<u64, MediaError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX {
        return Err(MediaError::TooManyPixels);
    }
    Ok(pixels)
}

/// Makes a picture in this size; `None` if the source is no larger than that, for nothing is scaled
/// up. One that moves is told to, or its first frame is shown.
pub(crate) fn make(source: &[u8], order: Order<'_>) -> Result<Option<Made>, MediaError> {
    let format = format_of(source)?;
    let (width, height) = reader(source, format)
        .into_dimensions()
        .map_err(|_| MediaError::NotAPicture)?;
    check_pixels(width, height)?;
    let moves = can_move(source, format);
    let fits = width <= order.size.width && height <= order.size.height;
    if moves && order.moving {
        if fits {
            return Ok(None);
        }
        if let Some(made) = animation::make(source, format, order)? {
            return Ok(Some(made));
        }
    }
    still(source, format, order.size, !moves)
}

/// The picture at rest; `None` if it fits and may be shown as it is.
fn still(
    source: &[u8],
    format: ImageFormat,
    size: Size,
    as_it_is: bool,
) -> Result<Option<Made>, MediaError> {
    let (picture, orientation) = decode(source, format)?;
    // Turned when it is small, which is less work.
    let size = if swaps(orientation) {
        size.turned()
    } else {
        size
    };
    let fits = picture.width() <= size.width && picture.height() <= size.height;
    if fits && as_it_is {
        return Ok(None);
    }
    let mut small = if fits {
        picture
    } else {
        shrink(&picture, size)
    };
    small.apply_orientation(orientation);
    encode(&small).map(Some)
}

/// The picture in this size.
pub(crate) fn shrink(picture: &DynamicImage, size: Size) -> DynamicImage {
    match size.method {
        Method::Scale => scale(picture, size),
        Method::Crop => crop(picture, size),
    }
}

fn swaps(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(
        orientation,
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH
    )
}

/// Whether there may be more than one frame. A GIF is not asked: that would take reading it all.
fn can_move(source: &[u8], format: ImageFormat) -> bool {
    let source = Cursor::new(source);
    match format {
        ImageFormat::Gif => true,
        ImageFormat::WebP => WebPDecoder::new(source).is_ok_and(|decoder| decoder.has_animation()),
        ImageFormat::Png => PngDecoder::with_limits(source, limits())
            .is_ok_and(|decoder| decoder.is_apng().unwrap_or_default()),
        _ => false,
    }
}

/// The type of a picture that is decoded here, by its first bytes.
pub(crate) fn content_type(head: &[u8]) -> Option<&'static str> {
    Some(format_of(head).ok()?.to_mime_type())
}

/// Its type, width and height, if it is a picture that is decoded here.
pub(crate) fn describe(source: &[u8]) -> Option<(&'static str, u32, u32)> {
    let format = format_of(source).ok()?;
    let (width, height) = reader(source, format).into_dimensions().ok()?;
    Some((format.to_mime_type(), width, height))
}

/// One of the four, by the first bytes.
fn format_of(source: &[u8]) -> Result<ImageFormat, MediaError> {
    use ImageFormat::{Gif, Jpeg, Png, WebP};
    match image::guess_format(source) {
        Ok(format @ (Gif | Jpeg | Png | WebP)) => Ok(format),
        _ => Err(MediaError::NotAPicture),
    }
}

/// What a decoder may take.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    limits
}

fn reader(source: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(source), format);
    reader.limits(limits());
    reader
}

/// The picture, and how it is to be turned to be looked at: cameras tell that in EXIF.
fn decode(source: &[u8], format: ImageFormat) -> Result<(DynamicImage, Orientation), MediaError> {
    let not_a_picture = |_| MediaError::NotAPicture;
    let mut decoder = reader(source, format)
        .into_decoder()
        .map_err(not_a_picture)?;
    let orientation = decoder.orientation();
    let picture = DynamicImage::from_decoder(decoder).map_err(not_a_picture)?;
    Ok((picture, orientation.unwrap_or(Orientation::NoTransforms)))
}

/// The whole picture within the size. Large steps are made fast, the last one well; the large
/// picture is never copied.
fn scale(picture: &DynamicImage, size: Size) -> DynamicImage {
    let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
    let (most_width, most_height) = (u64::from(size.width), u64::from(size.height));
    let (width, height) = if width * most_height > height * most_width {
        (size.width, part(height, most_width, width))
    } else {
        (part(width, most_height, height), size.height)
    };
    let (rough_width, rough_height) = (width.saturating_mul(2), height.saturating_mul(2));
    let is_far = picture.width() > rough_width && picture.height() > rough_height;
    if is_far && u64::from(width) * u64::from(height) > FINE_PIXELS_MAX {
        return picture.thumbnail_exact(width, height);
    }
    if picture.width() <= rough_width && picture.height() <= rough_height {
        return picture.resize_exact(width, height, FilterType::Triangle);
    }
    let near_width = picture.width().min(rough_width);
    let near_height = picture.height().min(rough_height);
    let near = picture.thumbnail_exact(near_width, near_height);
    near.resize_exact(width, height, FilterType::Triangle)
}

/// `pixels * by / of`, rounded, at least one.
fn part(pixels: u64, by: u64, of: u64) -> u32 {
    let pixels = (pixels * by + of / 2) / of.max(1);
    u32::try_from(pixels.max(1)).unwrap_or(u32::MAX)
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
    // What is cut out is copied, and so is what is scaled: the smaller copy is made first, or a
    // picture as large as there may be would take its memory twice.
    let near_width = part(width, to_width * 2, u64::from(cut_width));
    let near_height = part(height, to_height * 2, u64::from(cut_height));
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    if area(near_width, near_height) < area(cut_width, cut_height) {
        return crop(&picture.thumbnail_exact(near_width, near_height), size);
    }
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
