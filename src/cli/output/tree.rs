//! A tree of objects.
//!
//! Enters: branches.
//! Leaves: one line each, with guides.
//! Never: an order of its own.

/// One line and what hangs below it.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Branch {
    pub(in crate::cli) line: String,
    pub(in crate::cli) below: Vec<Self>,
}

/// Returns the tree as text.
pub(in crate::cli) fn tree(root: &Branch) -> String {
    let mut out = format!("{}\n", root.line);
    grow(&root.below, "", &mut out);
    out
}

fn grow(branches: &[Branch], guide: &str, out: &mut String) {
    for (index, branch) in branches.iter().enumerate() {
        let last = index + 1 == branches.len();
        let (knot, more) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        out.push_str(guide);
        out.push_str(knot);
        out.push_str(&branch.line);
        out.push('\n');
        grow(&branch.below, &format!("{guide}{more}"), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guides_show_what_hangs_where() {
        let leaf = |line: &str| Branch {
            line: line.to_owned(),
            below: Vec::new(),
        };
        let root = Branch {
            line: "app".into(),
            below: vec![
                Branch {
                    line: "a".into(),
                    below: vec![leaf("a1")],
                },
                leaf("b"),
            ],
        };
        assert_eq!(tree(&root), "app\n├─ a\n│  └─ a1\n└─ b\n");
    }
}
