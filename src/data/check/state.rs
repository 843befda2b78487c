//! Nodes of state trees: that each is what its name says and its subtrees are there.

use std::collections::BTreeMap;

use belfry_kv::{Engine, ReadError, Snapshot};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, Row},
};
use crate::{
    column::RoomKey,
    state::{Node, NodeHash, Size},
    tables::{STATE_NODE, StateNode},
};

type NodeKey = (RoomKey, [u8; crate::state::NODE_HASH_BYTES]);

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&STATE_NODE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let nodes: Vec<_> = rows.iter().map(|row| read(row, report)).collect();
        let sizes = sizes_of_children(&*snapshot, &rows, &nodes).await?;
        for (row, node) in rows.iter().zip(nodes) {
            if let Some(node) = node {
                check_children(row, &node, &sizes, report);
            }
        }
    }
    Ok(())
}

fn read(row: &Row<NodeKey, StateNode>, report: &mut Report) -> Option<Node> {
    let at = (STATE_NODE.space(), &row.raw);
    let same = NodeHash::of(&row.row.0) == NodeHash(row.key.1);
    report.expect(
        same,
        FindingKind::WrongHash,
        at,
        "the node has another hash",
    );
    match Node::decode(&row.row.0) {
        Ok(node) => Some(node),
        Err(error) => {
            report.add(FindingKind::WrongShape, at.0, at.1, error.to_string());
            None
        }
    }
}

async fn sizes_of_children(
    snapshot: &dyn Snapshot,
    rows: &[Row<NodeKey, StateNode>],
    nodes: &[Option<Node>],
) -> Result<BTreeMap<NodeKey, Size>, ReadError> {
    let nodes = rows.iter().zip(nodes);
    let keys: Vec<NodeKey> = nodes
        .filter_map(|(row, node)| Some((row, node.as_ref()?)))
        .flat_map(|(row, node)| node.children().map(|child| (row.key.0.clone(), child.0)))
        .collect();
    let mut sizes = BTreeMap::new();
    for chunk in keys.chunks(1_000) {
        let raw: Vec<_> = chunk.iter().map(|key| STATE_NODE.key(key)).collect();
        for (key, value) in chunk.iter().zip(snapshot.get_many(&raw).await?) {
            // One that does not decode is a finding of its own, and as good as absent here.
            let row = value.and_then(|value| STATE_NODE.decode_row(&value).ok());
            let node = row.and_then(|row| Node::decode(&row.0).ok());
            sizes.extend(node.map(|node| (key.clone(), node.size())));
        }
    }
    Ok(sizes)
}

fn check_children(
    row: &Row<NodeKey, StateNode>,
    node: &Node,
    sizes: &BTreeMap<NodeKey, Size>,
    report: &mut Report,
) {
    if matches!(node, Node::Leaf(_)) {
        return;
    }
    let at = (STATE_NODE.space(), &row.raw);
    let mut sum = Size::default();
    for child in node.children() {
        let Some(size) = sizes.get(&(row.key.0.clone(), child.0)) else {
            report.add(FindingKind::Dangling, at.0, at.1, "a subtree is not stored");
            return;
        };
        sum = sum.add(*size);
    }
    let right = sum == node.size();
    report.expect(
        right,
        FindingKind::WrongShape,
        at,
        "the subtrees hold more or less than it says",
    );
}
