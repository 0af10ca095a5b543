//! A bounded slice of what fuzzing does, with the stable toolchain: the same functions over texts of the cases, mutated.
//!
//! `PLIMSOLL_FUZZ_UNITS` (default 800) and `PLIMSOLL_FUZZ_SEED` (default 1) choose the texts of each target. `fuzz/run.sh` is the real thing.
//!
//! Enters: texts, a seed. Leaves: nothing. Never: a panic, which names target, seed and unit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; it reads its own size from the environment"
)]

#[path = "../fuzz/entry.rs"]
mod entry;

use std::path::Path;

/// Longest text, as when fuzzing.
const LONGEST: usize = 4096;

/// Words that mean something to a parser.
const WORDS: [&str; 24] = [
    "\n- ",
    "\n  ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    "---\n",
    "!!str ",
    "\t",
    "\r\n",
    "\u{feff}",
    "$patch: delete\n",
    "null",
    "0x1",
    "\\u0000",
];

/// Numbers that are the same on every machine (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most.max(1)
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}"))
    })
}

/// The files of all cases.
fn texts() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        for section in text.split("\n@@ ").skip(1) {
            let content = section.split_once('\n').map_or("", |(_, content)| content);
            let content = content.split("\n@@").next().unwrap();
            if content.len() <= LONGEST {
                texts.push(content.as_bytes().to_vec());
            }
        }
    }
    texts
}

fn mutated(texts: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut text = texts[numbers.below(texts.len())].clone();
    for _ in 0..numbers.below(6) {
        let at = numbers.below(text.len() + 1);
        let end = (at + numbers.below(16)).min(text.len());
        match numbers.below(6) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, WORDS[numbers.below(WORDS.len())].bytes())),
            2 => {
                let part = text[at..end].to_vec();
                drop(text.splice(at..at, part));
            }
            3 => {
                let other = &texts[numbers.below(texts.len())];
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(200)).min(other.len());
                drop(text.splice(at..end, other[from..to].iter().copied()));
            }
            4 => text.truncate(at),
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = u8::try_from(numbers.below(256)).unwrap();
                }
            }
        }
    }
    text.truncate(LONGEST);
    text
}

#[test]
fn mutated_texts_do_not_break_the_renderer() {
    let (units, seed) = (
        number("PLIMSOLL_FUZZ_UNITS", 800),
        number("PLIMSOLL_FUZZ_SEED", 1),
    );
    let texts = texts();
    assert!(texts.len() > 300, "{} texts", texts.len());
    for (name, entry) in entry::TARGETS {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for unit in 0..units {
            let text = mutated(&texts, &mut numbers);
            let outcome = std::panic::catch_unwind(|| entry(&text));
            assert!(
                outcome.is_ok(),
                "{name}, seed {seed}, unit {unit}: {:?}",
                String::from_utf8_lossy(&text)
            );
        }
    }
}
