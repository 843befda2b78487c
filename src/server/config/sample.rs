//! The sample file: every key with its sentence and its default, all commented out.

use super::keys::KEYS;
use crate::text::Text;

/// Longest comment line, in characters.
const LINE_CHARS_MAX: usize = 96;

/// What `belfry config default` prints, in the reader's language; `conf/belfry.toml` in English.
pub(crate) fn sample(text: &Text) -> String {
    let mut out = comment(&text.plain("config-file"));
    let mut table = "";
    for key in KEYS {
        if key.table != table {
            table = key.table;
            out.push('\n');
            out.push_str(&comment(&sentence(text, table, None)));
            out.extend(["[", table, "]\n"]);
        }
        out.push('\n');
        out.push_str(&comment(&sentence(text, table, Some(key.name))));
        let default = key.default.to_string();
        out.extend(["#", key.name, " = ", &default, "\n"]);
    }
    out
}

/// The catalogue's sentence of a table or of a key in it.
fn sentence(text: &Text, table: &str, key: Option<&str>) -> String {
    let names = [Some("config"), Some(table), key];
    let id: Vec<_> = names
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .collect();
    let id = id.join("-").replace('_', "-");
    text.named(&id).unwrap_or(id)
}

/// Breaks the paragraph into comment lines.
fn comment(paragraph: &str) -> String {
    let mut out = String::new();
    for line in paragraph.lines() {
        let mut length = LINE_CHARS_MAX;
        for word in line.split(' ') {
            let chars = word.chars().count() + 1;
            if length + chars > LINE_CHARS_MAX {
                out.push_str(if out.is_empty() { "#" } else { "\n#" });
                length = 1;
            }
            out.push(' ');
            out.push_str(word);
            length += chars;
        }
    }
    out.push('\n');
    out
}
