//! The smallest tree that still shows a difference.
//!
//! Enters: a tree and a question. Leaves: a tree for which the answer is the same, with nothing left to take away.
//! Never: anything added.

use serde_json::Value;

use crate::tree::{File, Tree};

/// Takes away flags, files, documents, keys and items as long as `still` holds.
pub(crate) fn minimise(tree: &Tree, mut still: impl FnMut(&Tree) -> bool) -> Tree {
    let mut best = tree.clone();
    loop {
        let before = size(&best);
        for index in (0..best.flags.len()).rev() {
            let mut smaller = best.clone();
            smaller.flags.remove(index);
            attempt(&mut best, smaller, &mut still);
        }
        for path in best.files.keys().cloned().collect::<Vec<_>>() {
            let mut smaller = best.clone();
            smaller.files.remove(&path);
            attempt(&mut best, smaller, &mut still);
            shrink_file(&mut best, &path, &mut still);
        }
        if size(&best) == before {
            return best;
        }
    }
}

fn size(tree: &Tree) -> usize {
    tree.flags.len() + tree.rendered().values().map(String::len).sum::<usize>()
}

fn attempt(best: &mut Tree, smaller: Tree, still: &mut impl FnMut(&Tree) -> bool) -> bool {
    let holds = still(&smaller);
    if holds {
        *best = smaller;
    }
    holds
}

fn shrink_file(best: &mut Tree, path: &str, still: &mut impl FnMut(&Tree) -> bool) {
    // Each step is found anew in what is left, because the steps before it may have taken it away.
    let mut skip = 0;
    loop {
        let Some(File::Documents(documents, style)) = best.files.get(path) else {
            return;
        };
        let mut documents = documents.clone();
        let mut count = skip;
        if !remove_nth(&mut documents, &mut count) {
            return;
        }
        let mut smaller = best.clone();
        smaller
            .files
            .insert(path.to_owned(), File::Documents(documents, *style));
        if !attempt(best, smaller, still) {
            skip += 1;
        }
    }
}

/// Removes the document, item or entry of a number, counted from the outside in; whether there is one.
fn remove_nth(documents: &mut Vec<Value>, count: &mut usize) -> bool {
    if documents.len() > 1 {
        for index in 0..documents.len() {
            if *count == 0 {
                documents.remove(index);
                return true;
            }
            *count -= 1;
        }
    }
    documents
        .iter_mut()
        .any(|document| remove_inside(document, count))
}

fn remove_inside(value: &mut Value, count: &mut usize) -> bool {
    match value {
        Value::Object(map) => {
            for key in map.keys().cloned().collect::<Vec<_>>() {
                if *count == 0 {
                    map.remove(&key);
                    return true;
                }
                *count -= 1;
            }
            map.values_mut().any(|value| remove_inside(value, count))
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                if *count == 0 {
                    items.remove(index);
                    return true;
                }
                *count -= 1;
            }
            items.iter_mut().any(|value| remove_inside(value, count))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
