//! Thumbnails of pictures as they come, and of what only claims to be one.

use image::{DynamicImage, GenericImageView as _, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::{
    error::MediaError,
    picture::{self, Made, Method, Order, Size},
};

const BOMB: &[u8] = include_bytes!("../../tests/data/media/bomb_30000x30000.png");

fn size(width: u32, height: u32, method: Method) -> Size {
    Size {
        width,
        height,
        method,
    }
}

fn ordered(source: &[u8], size: Size, moving: bool) -> Result<Option<Made>, MediaError> {
    let late = &|| false;
    picture::make(source, Order { size, moving, late })
}

fn make(source: &[u8], size: Size) -> Result<Option<Made>, MediaError> {
    ordered(source, size, false)
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> DynamicImage {
    let half = |x, _| {
        Rgb(if x < width / 2 {
            [255, 0, 0]
        } else {
            [0, 0, 255]
        })
    };
    RgbImage::from_fn(width, height, half).into()
}

fn made(source: &[u8], size: Size) -> (DynamicImage, &'static str) {
    let made = make(source, size).unwrap().unwrap();
    (
        image::load_from_memory(&made.content).unwrap(),
        made.content_type,
    )
}

#[test]
fn the_whole_picture_is_scaled_into_the_size() {
    let source = written(&halves(4_000, 3_000), ImageFormat::Png);
    let (small, content_type) = made(&source, size(320, 240, Method::Scale));
    assert_eq!(
        (small.dimensions(), content_type),
        ((320, 240), "image/jpeg")
    );
    let wide = written(&halves(1_000, 100), ImageFormat::Png);
    let (small, _) = made(&wide, size(320, 240, Method::Scale));
    assert_eq!(small.dimensions(), (320, 32));
}

#[test]
fn the_middle_is_cropped_to_the_shape() {
    let source = written(&halves(900, 300), ImageFormat::Png);
    let (small, _) = made(&source, size(96, 96, Method::Crop));
    assert_eq!(small.dimensions(), (96, 96));
    let (left, right) = (small.get_pixel(5, 48), small.get_pixel(90, 48));
    assert!(left[0] > 200 && right[2] > 200, "{left:?} {right:?}");
}

/// What is scaled before it is cut out, what is cut out before, and lines.
#[test]
fn pictures_of_any_shape_get_the_size() {
    use Method::{Crop, Scale};
    for ((width, height), wanted, expected) in [
        ((1281, 2000), size(640, 640, Crop), (640, 640)),
        ((2000, 641), size(640, 640, Crop), (640, 640)),
        ((3000, 200), size(96, 96, Crop), (96, 96)),
        ((200, 3000), size(32, 32, Crop), (32, 32)),
        ((9000, 1), size(800, 600, Scale), (800, 1)),
        ((2, 9000), size(320, 240, Scale), (1, 240)),
        ((4000, 3000), size(1600, 1200, Scale), (1600, 1200)),
        ((1601, 900), size(1600, 1200, Scale), (1600, 899)),
    ] {
        let source = written(&halves(width, height), ImageFormat::Png);
        let (made, _) = made(&source, wanted);
        assert_eq!(made.dimensions(), expected, "{width} x {height}");
    }
}

#[test]
fn nothing_is_scaled_up() {
    let source = written(&halves(40, 30), ImageFormat::Png);
    assert_eq!(make(&source, size(320, 240, Method::Scale)), Ok(None));
    assert_eq!(make(&source, size(96, 96, Method::Crop)), Ok(None));
    // As large as can be cut from it.
    let narrow = written(&halves(40, 300), ImageFormat::Png);
    let (small, _) = made(&narrow, size(96, 96, Method::Crop));
    assert_eq!(small.dimensions(), (40, 40));
}

#[test]
fn what_is_transparent_stays_so() {
    let clear = RgbaImage::from_pixel(200, 200, Rgba([0, 255, 0, 0])).into();
    let source = written(&clear, ImageFormat::Png);
    let (small, content_type) = made(&source, size(96, 96, Method::Crop));
    assert_eq!(content_type, "image/png");
    assert_eq!(small.get_pixel(3, 3)[3], 0);
}

#[test]
fn all_four_formats_are_read() {
    use ImageFormat::{Gif, Jpeg, Png, WebP};
    for format in [Gif, Jpeg, Png, WebP] {
        let source = written(&halves(400, 300), format);
        let (small, _) = made(&source, size(320, 240, Method::Scale));
        assert_eq!(small.dimensions(), (320, 240), "{format:?}");
    }
}

#[test]
fn cameras_say_which_side_is_up() {
    let mut jpeg = written(&halves(400, 200), ImageFormat::Jpeg);
    // An EXIF segment behind the first marker: orientation 6, turn by 90 degrees to the right.
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    let (small, _) = made(&jpeg, size(320, 240, Method::Scale));
    assert_eq!(small.dimensions(), (120, 240));
    let (top, bottom) = (small.get_pixel(60, 10), small.get_pixel(60, 230));
    assert!(top[0] > 200 && bottom[2] > 200, "{top:?} {bottom:?}");
}

/// MEDIA-015
#[test]
fn a_bomb_is_refused_before_it_is_decoded() {
    let refused = make(BOMB, size(96, 96, Method::Crop));
    assert_eq!(refused, Err(MediaError::TooManyPixels));
}

/// MEDIA-017
#[test]
fn other_formats_are_refused_whatever_they_are_called() {
    let sources: [&[u8]; 9] = [
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"8BPS\x00\x01",
        b"\x00\x00\x01\x00\x01\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
        b"\xff\x0a\xff\x07\x08",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"BM\x00\x00\x00\x00",
        b"",
    ];
    for source in sources {
        let refused = make(source, size(96, 96, Method::Crop));
        assert_eq!(refused, Err(MediaError::NotAPicture), "{source:?}");
    }
}

#[test]
fn broken_pictures_are_refused() {
    let whole = written(&halves(400, 300), ImageFormat::Png);
    for end in [8, 20, 40, whole.len() / 2] {
        let refused = make(&whole[..end], size(96, 96, Method::Crop));
        assert_eq!(refused, Err(MediaError::NotAPicture), "{end}");
    }
}

#[test]
fn sizes_asked_for_are_met_by_one_of_a_few() {
    let cases = [
        (size(1, 1, Method::Crop), Some((32, 32))),
        (size(33, 10, Method::Crop), Some((96, 96))),
        (size(641, 641, Method::Crop), None),
        (size(321, 10, Method::Scale), Some((640, 480))),
        (size(9_999, 1, Method::Scale), None),
    ];
    for (asked, expected) in cases {
        let made = asked.to_make();
        assert_eq!(
            made.map(|made| (made.width, made.height)),
            expected,
            "{asked:?}"
        );
        assert!(made.is_none_or(|made| made.method == asked.method));
    }
}

/// A picture that blinks: frames of red and blue, a tenth of a second each.
fn blinking(width: u32, height: u32, frames: u32) -> Vec<u8> {
    use image::{Delay, Frame, codecs::gif::GifEncoder};
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut gif, 30);
    for number in 0..frames {
        let colour = if number % 2 == 0 {
            [255, 0, 0, 255]
        } else {
            [0, 0, 255, 255]
        };
        let picture = RgbaImage::from_pixel(width, height, Rgba(colour));
        let delay = Delay::from_numer_denom_ms(100, 1);
        let frame = Frame::from_parts(picture, 0, 0, delay);
        encoder.encode_frame(frame).unwrap();
    }
    drop(encoder);
    gif
}

fn frames(gif: &[u8]) -> Vec<image::Frame> {
    use image::{AnimationDecoder as _, codecs::gif::GifDecoder};
    let decoder = GifDecoder::new(std::io::Cursor::new(gif)).unwrap();
    decoder.into_frames().collect_frames().unwrap()
}

#[test]
fn what_moves_goes_on_moving_if_that_is_wanted() {
    let source = blinking(400, 300, 4);
    let size = size(320, 240, Method::Scale);
    let moving = ordered(&source, size, true).unwrap().unwrap();
    assert_eq!(moving.content_type, "image/gif");
    let shown = frames(&moving.content);
    assert_eq!(shown.len(), 4);
    assert_eq!(shown[0].buffer().dimensions(), (320, 240));
    assert_eq!(shown[1].delay().numer_denom_ms(), (100, 1));
    let (first, second) = (
        shown[0].buffer().get_pixel(9, 9),
        shown[1].buffer().get_pixel(9, 9),
    );
    assert!(first[0] > 200 && second[2] > 200, "{first:?} {second:?}");
    let still = ordered(&source, size, false).unwrap().unwrap();
    assert_eq!(
        image::guess_format(&still.content).unwrap(),
        ImageFormat::Png
    );
}

#[test]
fn a_small_picture_that_moves_rests_unless_it_is_to_move() {
    let source = blinking(30, 20, 3);
    let size = size(320, 240, Method::Scale);
    assert_eq!(ordered(&source, size, true), Ok(None));
    let still = ordered(&source, size, false).unwrap().unwrap();
    let shown = image::load_from_memory(&still.content).unwrap();
    assert_eq!(
        (shown.dimensions(), still.content_type),
        ((30, 20), "image/png")
    );
}

#[test]
fn one_frame_is_no_animation() {
    let source = blinking(400, 300, 1);
    let made = ordered(&source, size(320, 240, Method::Scale), true)
        .unwrap()
        .unwrap();
    assert_eq!(made.content_type, "image/png");
}

#[test]
fn an_animation_that_takes_too_long_rests() {
    let source = blinking(400, 300, 4);
    let order = Order {
        size: size(320, 240, Method::Scale),
        moving: true,
        late: &|| true,
    };
    let made = picture::make(&source, order).unwrap().unwrap();
    assert_eq!(made.content_type, "image/png");
}

#[test]
fn an_animation_of_many_frames_rests() {
    let source = blinking(100, 100, 501);
    let made = ordered(&source, size(96, 96, Method::Crop), true)
        .unwrap()
        .unwrap();
    assert_eq!(made.content_type, "image/png");
}
