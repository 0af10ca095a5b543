//! The file sink: a directory of append-only files, one line a record or checkpoint.
//!
//! Enters: lines.
//! Leaves: lines on the disk, synced; files that follow each other by size.
//! Never: a line that is half there after a crash; a line behind what somebody else wrote.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Error, heads::Heads};
use crate::model::{canonical_json, sha256_hex};

/// Longest line that is read: a record is at most 256 KiB, a header with the heads of 10,000 chains 3 MiB.
const LONGEST: usize = 32 << 20;

/// A directory that is written to.
#[derive(Debug)]
pub(super) struct FileSink {
    directory: PathBuf,
    cluster: String,
    rotate: u64,
    path: PathBuf,
    file: File,
    number: u64,
    /// Bytes that are in the file and synced.
    length: u64,
    pub(super) heads: Heads,
}

fn disk(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Disk {
        act,
        path: path.to_owned(),
        source,
    }
}

impl FileSink {
    /// Opens the directory, and reads how far it has come.
    ///
    /// # Errors
    /// The disk says no, a file is damaged, or it is the history of another cluster.
    pub(super) fn open(directory: &Path, cluster: &str, rotate: u64) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(disk("make", directory))?;
        let newest = numbers(directory)?.into_iter().max();
        let number = newest.unwrap_or(1);
        let path = directory.join(name(number));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(disk("open", &path))?;
        let mut sink = Self {
            directory: directory.to_owned(),
            cluster: cluster.to_owned(),
            rotate,
            path,
            file,
            number,
            length: 0,
            heads: Heads::default(),
        };
        sink.read()?;
        if sink.length == 0 {
            // A crash came between the making of a file and its first line: the one before tells how far it has come.
            let before = match number.checked_sub(1).filter(|before| *before > 0) {
                Some(before) => Some(sink.read_before(&directory.join(name(before)))?),
                None => None,
            };
            sink.begin_file(before)?;
        }
        Ok(sink)
    }

    /// Reads the file before this one, which is whole; returns its hash.
    fn read_before(&mut self, path: &Path) -> Result<String, Error> {
        let text = fs::read(path).map_err(disk("read", path))?;
        let lines = String::from_utf8_lossy(&text).into_owned();
        for (number, line) in lines.lines().enumerate() {
            if number == 0 {
                self.check_header(line, 1)?;
            }
            self.heads.read(line).map_err(|why| Error::Damaged {
                path: path.to_owned(),
                line: number + 1,
                why,
            })?;
        }
        Ok(format!("sha256:{}", sha256_hex(&text)))
    }

    /// Reads the newest file. What a crash left of a last line was never acknowledged, and goes.
    fn read(&mut self) -> Result<(), Error> {
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        let mut number = 0;
        let mut first = true;
        loop {
            line.clear();
            let read = std::io::Read::by_ref(&mut reader);
            let read = std::io::Read::take(read, LONGEST as u64)
                .read_until(b'\n', &mut line)
                .map_err(disk("read", &self.path))?;
            number += 1;
            if line.last() != Some(&b'\n') {
                break;
            }
            let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
            if first {
                self.check_header(&text, number)?;
                first = false;
            }
            self.heads.read(&text).map_err(|why| Error::Damaged {
                path: self.path.clone(),
                line: number,
                why,
            })?;
            self.length += read as u64;
        }
        if !line.is_empty() {
            tracing::warn!(file = %self.path.display(), line = number, "what a crash left of a line is cut off");
        }
        self.file
            .set_len(self.length)
            .map_err(disk("cut", &self.path))
    }

    fn check_header(&self, text: &str, line: usize) -> Result<(), Error> {
        let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let cluster = value.pointer("/sink/cluster").and_then(Value::as_str);
        match cluster {
            None => Err(Error::Damaged {
                path: self.path.clone(),
                line,
                why: "it does not say whose history it is".to_owned(),
            }),
            Some(found) if found != self.cluster => Err(Error::OtherCluster {
                path: self.directory.clone(),
                found: found.to_owned(),
                ours: self.cluster.clone(),
            }),
            Some(_) => Ok(()),
        }
    }

    /// Writes the first line of a file: whose history it is, and how far it has come.
    fn begin_file(&mut self, before: Option<String>) -> Result<(), Error> {
        let mut sink = json!({"format": 1, "cluster": self.cluster, "file": self.number});
        if let (Some(map), Value::Object(heads)) = (sink.as_object_mut(), self.heads.to_value()) {
            map.extend(heads.into_iter().filter(|(_, value)| !value.is_null()));
            if let Some(before) = before {
                map.insert("before".to_owned(), before.into());
            }
        }
        self.write(&format!("{}\n", canonical_json(&json!({"sink": sink}))))?;
        // The name is to survive a crash as well.
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(disk("sync", &self.directory))
    }

    /// Appends lines and syncs them.
    ///
    /// # Errors
    /// The disk says no, or somebody else wrote to it: then nothing of these lines is there.
    pub(super) fn append(&mut self, lines: &[String]) -> Result<(), Error> {
        self.check_unmoved()?;
        if self.length >= self.rotate {
            self.rotate()?;
        }
        let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += text.len() as u64;
                Ok(())
            }
            Err(source) => {
                // A full disk takes a part of a line; the part goes, or the next opening cuts it.
                let _cut = self.file.set_len(self.length);
                Err(disk("append to", &self.path)(source))
            }
        }
    }

    /// The file under our name must be the one that we hold, and as long as we left it.
    fn check_unmoved(&self) -> Result<(), Error> {
        let ours = self.file.metadata().map_err(disk("look at", &self.path))?;
        let there = fs::metadata(&self.path).map_err(disk("look at", &self.path))?;
        let next = self.directory.join(name(self.number + 1));
        let same = (ours.dev(), ours.ino()) == (there.dev(), there.ino())
            && there.len() == self.length
            && !next.exists();
        if same {
            return Ok(());
        }
        Err(Error::Moved {
            path: self.path.clone(),
        })
    }

    fn rotate(&mut self) -> Result<(), Error> {
        let number = self.number + 1;
        let path = self.directory.join(name(number));
        let old = fs::read(&self.path).map_err(disk("read", &self.path))?;
        let before = format!("sha256:{}", sha256_hex(&old));
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(disk("make", &path))?;
        self.file = file;
        self.path = path;
        self.number = number;
        self.length = 0;
        self.begin_file(Some(before))
    }
}

fn name(number: u64) -> String {
    format!("history-{number:06}.jsonl")
}

fn numbers(directory: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(disk("list", directory))? {
        let entry = entry.map_err(disk("list", directory))?;
        let file = entry.file_name();
        let number: Option<u64> = file
            .to_str()
            .and_then(|file| file.strip_prefix("history-")?.strip_suffix(".jsonl"))
            .and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}
