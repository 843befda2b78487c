//! Which column family a keyspace's rows are in. Knows nothing of how a family is tuned.

use belfry_kv::{Keyspace, Shape, Temperature};

/// The family of the engine's own rows.
pub(crate) const META: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

/// How tables share column families. The figures behind the default are in
/// `docs/adr/0003-column-families.md`; the others exist to measure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Columns {
    /// One family for each shape and temperature.
    #[default]
    PerProfile,
    /// One family for all tables.
    Single,
    /// One family for each table.
    PerTable,
}

/// A column family and the kind of rows that it is tuned for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) temperature: Temperature,
}

/// All families, and which keyspace lives in which.
#[derive(Debug)]
pub(crate) struct Layout {
    families: Vec<Family>,
    by_tag: Vec<Option<usize>>,
}

const PROFILES: [(Shape, Temperature); 10] = [
    (Shape::Point, Temperature::Hot),
    (Shape::Point, Temperature::Cold),
    (Shape::Scan, Temperature::Hot),
    (Shape::Scan, Temperature::Cold),
    (Shape::Queue, Temperature::Hot),
    (Shape::Queue, Temperature::Cold),
    (Shape::Log, Temperature::Hot),
    (Shape::Log, Temperature::Cold),
    (Shape::Counter, Temperature::Hot),
    (Shape::Counter, Temperature::Cold),
];

impl Layout {
    pub(crate) fn new(columns: Columns, keyspaces: &[Keyspace]) -> Self {
        let families = families(columns, keyspaces);
        let mut by_tag = vec![None; 256];
        for space in keyspaces {
            let name = family_name(columns, space);
            by_tag[usize::from(space.tag)] = families.iter().position(|own| own.name == name);
        }
        Self { families, by_tag }
    }

    /// All families but [`META`].
    pub(crate) fn families(&self) -> &[Family] {
        &self.families
    }

    /// The index, in [`Self::families`], of the family with the rows of this tag.
    pub(crate) fn family_of(&self, tag: u8) -> Option<usize> {
        self.by_tag.get(usize::from(tag)).copied().flatten()
    }
}

fn families(columns: Columns, keyspaces: &[Keyspace]) -> Vec<Family> {
    match columns {
        // Every profile, used or not, so that a table added later needs no new family.
        Columns::PerProfile => PROFILES
            .map(|(shape, temperature)| Family {
                name: profile_name(shape, temperature),
                shape,
                temperature,
            })
            .into(),
        Columns::Single => vec![Family {
            name: "rows".to_owned(),
            shape: Shape::Scan,
            temperature: Temperature::Hot,
        }],
        Columns::PerTable => keyspaces
            .iter()
            .map(|space| Family {
                name: format!("table_{}", space.tag),
                shape: space.shape,
                temperature: space.temperature,
            })
            .collect(),
    }
}

fn family_name(columns: Columns, space: &Keyspace) -> String {
    match columns {
        Columns::PerProfile => profile_name(space.shape, space.temperature),
        Columns::Single => "rows".to_owned(),
        Columns::PerTable => format!("table_{}", space.tag),
    }
}

/// `point_hot` and so on; the names are on disk and never change.
pub(crate) fn profile_name(shape: Shape, temperature: Temperature) -> String {
    let shape = match shape {
        Shape::Point => "point",
        Shape::Scan => "scan",
        Shape::Queue => "queue",
        Shape::Log => "log",
        Shape::Counter => "counter",
    };
    let temperature = match temperature {
        Temperature::Hot => "hot",
        Temperature::Cold => "cold",
    };
    format!("{shape}_{temperature}")
}
