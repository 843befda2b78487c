//! Places in a state tree: the order in which entries are enumerated, and cursors into it.
//!
//! Exists so that a walk can stop anywhere and go on later, on another snapshot, from an immutable
//! root. Knows no nodes.

use std::fmt;

const PATH_BYTES: usize = 32;

/// Bits that one level of a tree tells apart.
const DIGIT_BITS: usize = 3;
const DIGIT: u16 = (1 << DIGIT_BITS) - 1;

/// Children of an inner node.
pub(super) const FANOUT: usize = 1 << DIGIT_BITS;

/// Levels below which entries cannot be told apart any more.
pub(super) const DEPTH_MAX: usize = PATH_BYTES * 8 / DIGIT_BITS;

/// A place in the order of a state tree's entries; also the cursor of a walk that stopped there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path([u8; PATH_BYTES]);

impl Path {
    /// Before every entry.
    pub const FIRST: Self = Self([0; PATH_BYTES]);

    /// A path from its bytes.
    pub const fn new(bytes: [u8; PATH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a row that remembers how far a walk came.
    pub const fn to_bytes(self) -> [u8; PATH_BYTES] {
        self.0
    }

    /// Which child of an inner node at this depth the path leads through.
    pub(super) fn digit(self, depth: usize) -> usize {
        let (at, shift) = place(depth);
        let byte = |at: usize| u16::from(self.0.get(at).copied().unwrap_or_default());
        usize::from((byte(at) << 8 | byte(at + 1)) >> shift & DIGIT)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a digit is: the first of the two bytes that it may touch, and how far it is from their
/// end.
fn place(depth: usize) -> (usize, usize) {
    let bit = depth * DIGIT_BITS;
    (bit / 8, 16 - DIGIT_BITS - bit % 8)
}

/// All paths with the same leading digits: where a subtree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The first path of the subtree.
    pub(super) first: Path,
    /// How many digits are the same.
    pub(super) depth: usize,
}

impl Prefix {
    pub(super) const ROOT: Self = Self {
        first: Path::FIRST,
        depth: 0,
    };

    pub(super) fn child(self, digit: usize) -> Self {
        let (at, shift) = place(self.depth);
        let digit = u16::try_from(digit).unwrap_or_default() & DIGIT;
        let mut first = self.first;
        for (byte, bits) in first
            .0
            .iter_mut()
            .skip(at)
            .zip((digit << shift).to_be_bytes())
        {
            *byte |= bits;
        }
        Self {
            first,
            depth: self.depth + 1,
        }
    }

    /// The first path behind the subtree; `None` if there is none.
    pub(super) fn end(self) -> Option<Path> {
        let last_bit = (self.depth * DIGIT_BITS).checked_sub(1)?;
        let mut bytes = self.first.0;
        let mut add = 1_u8 << (7 - last_bit % 8);
        for byte in bytes.get_mut(..=last_bit / 8)?.iter_mut().rev() {
            let (sum, carried) = byte.overflowing_add(add);
            *byte = sum;
            if !carried {
                return Some(Path(bytes));
            }
            add = 1;
        }
        None
    }

    /// Whether the whole subtree is before `path`.
    pub(super) fn is_before(self, path: Path) -> bool {
        self.end().is_some_and(|end| end <= path)
    }

    pub(super) fn holds(self, path: Path) -> bool {
        self.first <= path && !self.is_before(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(digits: &[usize]) -> Prefix {
        digits
            .iter()
            .fold(Prefix::ROOT, |at, digit| at.child(*digit))
    }

    #[test]
    fn the_root_holds_every_path() {
        assert_eq!(Prefix::ROOT.end(), None);
        assert!(Prefix::ROOT.holds(Path::FIRST));
        assert!(Prefix::ROOT.holds(Path([255; PATH_BYTES])));
    }

    #[test]
    fn a_subtree_ends_where_its_next_sibling_starts() {
        assert_eq!(under(&[3, 6]).end(), Some(under(&[3, 7]).first));
        assert_eq!(under(&[3, 7]).end(), Some(under(&[4]).first));
        assert_eq!(under(&[5, 3, 7, 7, 7]).end(), Some(under(&[5, 4]).first));
        assert_eq!(under(&[7, 7, 7]).end(), None);
    }

    #[test]
    fn digits_are_those_that_led_there() {
        let at = under(&[1, 7, 0, 5, 2, 3]);
        let digits: Vec<_> = (0..6).map(|depth| at.first.digit(depth)).collect();
        assert_eq!(digits, [1, 7, 0, 5, 2, 3]);
    }

    #[test]
    fn a_subtree_is_before_what_follows_it() {
        assert!(under(&[2]).is_before(under(&[3]).first));
        assert!(!under(&[2]).is_before(under(&[2, 7]).first));
        assert!(under(&[2]).holds(under(&[2, 7]).first));
    }
}
