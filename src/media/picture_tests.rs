//! Thumbnails of pictures as they come, and of what only claims to be one.

use image::{DynamicImage, GenericImageView as _, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::{
    error::MediaError,
    picture::{Method, Size, make},
};

const BOMB: &[u8] = include_bytes!("../../tests/data/media/bomb_30000x30000.png");

fn size(width: u32, height: u32, method: Method) -> Size {
    Size {
        width,
        height,
        method,
    }
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
        (size(1, 1, Method::Crop), (32, 32)),
        (size(33, 10, Method::Crop), (96, 96)),
        (size(5_000, 5_000, Method::Crop), (320, 320)),
        (size(321, 10, Method::Scale), (640, 480)),
        (size(9_999, 1, Method::Scale), (1_600, 1_200)),
    ];
    for (asked, expected) in cases {
        let made = asked.to_make();
        assert_eq!((made.width, made.height), expected, "{asked:?}");
        assert_eq!(made.method, asked.method);
    }
}
