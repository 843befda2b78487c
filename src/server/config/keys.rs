//! Every key of the configuration, with its type and its default.
//!
//! To add one: a line here (the unit last in its name), its sentence `config-TABLE-KEY` in each
//! `text/*.ftl`, then `belfry config default > conf/belfry.toml`. A new kind of value is a type with
//! `Setting` in `value.rs`. A key needs a reader in the program and a reason why one behaviour
//! cannot serve everybody.

use std::path::PathBuf;

use ruma_common::OwnedServerName;

use super::{
    source::Source,
    value::{Format, Level, Raw, Whole},
};

/// A key as `config default` and "did you mean" see it.
#[derive(Debug)]
pub(super) struct Key {
    /// The table that it stands in; empty at the top of the file.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) default: Raw<'static>,
}

/// Declares the sections: the field of [`Config`], the section's type, its table in the file, and
/// its keys.
macro_rules! sections {
    ($(
        $(#[$meta:meta])*
        $field:ident: $section:ident = $table:literal {
            $( $(#[$key_meta:meta])* $key:ident: $type:ty = $default:expr, )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq)]
            pub(crate) struct $section { $( $(#[$key_meta])* pub(crate) $key: $type, )* }

            impl $section {
                /// Takes every key before the first wrong one ends it: all problems are reported.
                fn read(source: &mut Source<'_>) -> Option<Self> {
                    $( let $key = source.take($table, stringify!($key), $default); )*
                    Some(Self { $( $key: $key?, )* })
                }
            }
        )*

        /// The whole configuration, one struct per part of the program.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Config { $( $(#[$meta])* pub(crate) $field: $section, )* }

        impl Config {
            /// Takes every key; `None` if one is wrong.
            pub(super) fn read(source: &mut Source<'_>) -> Option<Self> {
                $( let $field = $section::read(source); )*
                Some(Self { $( $field: $field?, )* })
            }
        }

        /// Every key, in the order of the sample file.
        pub(super) const KEYS: &[Key] = &[ $( $(
            Key { table: $table, name: stringify!($key), default: $default },
        )* )* ];
    };
}

sections! {
    /// Which server this is, and where its data are.
    general: General = "" {
        /// The part behind the colon of every user id, for ever.
        server_name: OwnedServerName = Raw::Text("localhost"),
        /// Database, signing key and control socket.
        data_folder: PathBuf = Raw::Text("data"),
        /// Where the signing key is, if not in the data folder.
        signing_key_file: Option<PathBuf> =
            Raw::Unset { example: r#""/run/credentials/belfry.service/signing_key""# },
        /// Threads that answer requests; one per processor if unset.
        worker_threads: Option<Whole<1, 512>> = Raw::Unset { example: "4" },
    }

    /// What the log tells.
    log: Log = "log" {
        /// The least important lines that are written.
        level: Level = Raw::Text("info"),
        /// How a line looks.
        format: Format = Raw::Text("text"),
    }

    /// The embedded database.
    storage: Storage = "storage" {
        /// Memory for rows read from disk.
        block_cache_mib: Whole<8, 1_048_576> = Raw::Number(64),
        /// Memory for rows that are not in tables on disk yet.
        write_buffer_mib: Whole<4, 65_536> = Raw::Number(32),
        /// Threads for reads that wait for the disk.
        read_threads: Whole<1, 64> = Raw::Number(4),
        /// Writes are refused while the disk has less free space.
        free_disk_min_mib: Whole<16, 1_048_576> = Raw::Number(512),
    }
}
