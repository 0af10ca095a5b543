//! What an auditor asks of a period.
//!
//! Enters: records, the verdict on their chains.
//! Leaves: the population, its results, commands, exceptions.
//! Never: a figure without the records that it counts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{query::word, verifier::Verdict};

/// Exceptions that are listed of each kind; more are counted.
const LISTED: usize = 500;

/// A list that is bounded and knows how long it would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The first of them, one line each.
    pub lines: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl Listed {
    fn push(&mut self, line: String) {
        self.count += 1;
        if self.lines.len() < LISTED {
            self.lines.push(line);
        }
    }
}

/// A report of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compliance {
    /// Records by action and result.
    pub population: BTreeMap<(String, String), u64>,
    /// Records of each Application.
    pub applications: BTreeMap<String, u64>,
    /// First and last moment.
    pub period: Option<(String, String)>,
    /// Approvals and other commands of people.
    pub commands: Listed,
    /// Failures and returns.
    pub failures: Listed,
    /// What was refused before anything was written.
    pub refused: Listed,
    /// Changes of others that were given back.
    pub drift: Listed,
    /// Syncs of commits without a signature. Whether a signature is good nobody checked.
    pub unsigned: Listed,
    /// Commands whose name the API server does not vouch for.
    pub unverified: Listed,
    /// Attempts that a controller ended which had not begun them.
    pub resumed: Listed,
}

impl Compliance {
    /// Takes a record.
    pub fn record(&mut self, record: &Value) {
        let (action, result) = (word(record, "/action"), word(record, "/result"));
        let application = format!(
            "{}/{}",
            word(record, "/application/namespace"),
            word(record, "/application/name")
        );
        *self
            .population
            .entry((action.to_owned(), result.to_owned()))
            .or_default() += 1;
        *self.applications.entry(application.clone()).or_default() += 1;
        let ended = word(record, "/times/ended").to_owned();
        self.period = Some(match self.period.take() {
            None => (ended.clone(), ended.clone()),
            Some((first, last)) => (first.min(ended.clone()), last.max(ended.clone())),
        });
        let sequence = record
            .get("sequence")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let line = |pointers: &[&str]| {
            let parts: Vec<&str> = pointers
                .iter()
                .map(|pointer| word(record, pointer))
                .filter(|part| !part.is_empty())
                .collect();
            format!(
                "{ended} {application} record {sequence}: {}",
                parts.join(", ")
            )
        };
        if record.get("command").is_some() {
            self.commands.push(line(&[
                "/command/verb",
                "/command/by",
                "/command/subject",
                "/command/reason",
            ]));
            if record.pointer("/command/verified") != Some(&Value::Bool(true)) {
                self.unverified
                    .push(line(&["/command/verb", "/command/by"]));
            }
        }
        match (action, result) {
            (_, "Failed") => self.failures.push(line(&[
                "/action",
                "/ending/class",
                "/ending/reason",
                "/ending/message",
                "/source/revision",
            ])),
            (_, "Refused") => self.refused.push(line(&[
                "/ending/reason",
                "/ending/message",
                "/source/revision",
            ])),
            ("DriftRepair", _) => self.drift.push(line(&["/details"])),
            _ => {}
        }
        if record.pointer("/source/commit/signed") == Some(&Value::Bool(false)) && action == "Sync"
        {
            self.unsigned
                .push(line(&["/source/revision", "/source/commit/author"]));
        }
        if record.get("resumed").is_some() {
            self.resumed.push(line(&["/action", "/result"]));
        }
    }

    /// Returns how many syncs there were, and how many of them became Ready. What a newer revision took over counts for
    /// neither.
    pub fn syncs(&self) -> (u64, u64) {
        let count = |result: &str| {
            self.population
                .get(&("Sync".to_owned(), result.to_owned()))
                .copied()
                .unwrap_or_default()
        };
        let ready = count("Ready");
        (
            ready + count("Failed") + count("Refused") + count("Cancelled"),
            ready,
        )
    }
}

/// Returns the report in Markdown.
pub fn markdown(report: &Compliance, verdict: &Verdict, has_key: bool) -> String {
    let mut out = String::from("# Deployment report\n\n");
    if let Some((first, last)) = &report.period {
        out.push_str(&format!("Period: {first} to {last}.\n"));
    }
    let total: u64 = report.population.values().sum();
    let (syncs, ready) = report.syncs();
    out.push_str(&format!(
        "Records: {total} of {} Applications. Syncs: {syncs}, of which {ready} became Ready{}.\n\n",
        report.applications.len(),
        (ready * 1000)
            .checked_div(syncs)
            .map_or_else(String::new, |share| format!(
                " ({}.{} %)",
                share / 10,
                share % 10
            )),
    ));
    out.push_str("## Is the list complete\n\n");
    out.push_str(if verdict.is_whole() {
        "Yes: every chain of records is whole, in order and unchanged.\n"
    } else {
        "**No**: see the faults below.\n"
    });
    out.push_str(&format!(
        "Checkpoints: {}{}.\n\n| chain | first | last | signed up to | hash |\n|---|---|---|---|---|\n",
        verdict.checkpoints,
        if has_key { ", signatures checked" } else { ", signatures not checked" },
    ));
    for chain in &verdict.chains {
        let covered = chain
            .covered
            .map_or_else(|| "-".to_owned(), |covered| covered.to_string());
        out.push_str(&format!(
            "| {} | {} | {} | {covered} | {} |\n",
            cell(&chain.chain.to_string()),
            chain.first,
            chain.head.sequence,
            chain.head.hash
        ));
    }
    for fault in &verdict.faults {
        out.push_str(&format!("\n- {}", cell(&fault.to_string())));
    }
    if !verdict.faults.is_empty() {
        out.push('\n');
    }
    out.push_str("\n## Population\n\n| action | result | records |\n|---|---|---|\n");
    for ((action, result), count) in &report.population {
        out.push_str(&format!(
            "| {} | {} | {count} |\n",
            cell(action),
            cell(result)
        ));
    }
    out.push_str("\n| Application | records |\n|---|---|\n");
    for (application, count) in &report.applications {
        out.push_str(&format!("| {} | {count} |\n", cell(application)));
    }
    for (title, listed) in sections(report) {
        out.push_str(&format!("\n## {title}: {}\n\n", listed.count));
        for line in &listed.lines {
            out.push_str(&format!("- {}\n", cell(line)));
        }
        if listed.count > listed.lines.len() as u64 {
            out.push_str(&format!(
                "- and {} more\n",
                listed.count - listed.lines.len() as u64
            ));
        }
    }
    out
}

/// Returns the titles and lists, in order.
pub fn sections(report: &Compliance) -> [(&'static str, &Listed); 7] {
    [
        ("Commands and approvals of people", &report.commands),
        ("Failures and returns", &report.failures),
        ("Refused before anything was written", &report.refused),
        ("Changes outside of git that were given back", &report.drift),
        ("Commits without a signature", &report.unsigned),
        ("Commands whose author is not verified", &report.unverified),
        (
            "Attempts that were resumed after an interruption",
            &report.resumed,
        ),
    ]
}

/// What comes from elsewhere is text: no mark-up of it counts.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '\\' | '!' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Returns the report as one page of HTML, complete in itself.
pub fn html(report: &Compliance, verdict: &Verdict, has_key: bool) -> String {
    let mut body = String::new();
    let mut table = false;
    for line in markdown(report, verdict, has_key).lines() {
        let is_row = line.starts_with('|');
        if table && !is_row {
            body.push_str("</table>\n");
        }
        if is_row && !table {
            body.push_str("<table>\n");
        }
        table = is_row;
        if line.starts_with("|---") {
            continue;
        }
        if is_row {
            body.push_str("<tr>");
            for cell in cells(line) {
                body.push_str(&format!("<td>{}</td>", escape(&cell)));
            }
            body.push_str("</tr>\n");
        } else if let Some(title) = line.strip_prefix("## ") {
            body.push_str(&format!("<h2>{}</h2>\n", escape(title)));
        } else if let Some(title) = line.strip_prefix("# ") {
            body.push_str(&format!("<h1>{}</h1>\n", escape(title)));
        } else if let Some(item) = line.strip_prefix("- ") {
            body.push_str(&format!("<p class=\"item\">{}</p>\n", escape(item)));
        } else if !line.is_empty() {
            body.push_str(&format!("<p>{}</p>\n", escape(&line.replace("**", ""))));
        }
    }
    if table {
        body.push_str("</table>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Deployment report</title>\n<style>body{{font-family:sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse}}td{{border:1px solid #999;padding:.2rem .5rem}}.item{{margin:.2rem 0 .2rem 1rem}}</style>\n</head><body>\n{body}</body></html>\n"
    )
}

/// Returns the cells of a row; an escaped bar is text.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut characters = line.trim_matches('|').chars();
    while let Some(character) = characters.next() {
        match (character, cells.last_mut()) {
            ('|', _) => cells.push(String::new()),
            ('\\', Some(cell)) => {
                cell.push('\\');
                cell.extend(characters.next());
            }
            (other, Some(cell)) => cell.push(other),
            (_, None) => {}
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Undoes the escapes of Markdown, and writes those of HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = if character == '\\' {
            characters.next().unwrap_or('\\')
        } else {
            character
        };
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Line, case, read_line};

    fn report() -> (Compliance, Verdict) {
        let lines = case::history();
        let mut report = Compliance::default();
        for line in &lines {
            if let Ok(Line::Record(told)) = read_line(line) {
                report.record(&told.value);
            }
        }
        (report, case::verdict(lines.iter().map(String::as_str)))
    }

    #[test]
    fn a_report_counts_every_record_and_tells_the_exceptions() {
        let (report, verdict) = report();
        assert_eq!(report.population.values().sum::<u64>(), 18);
        assert_eq!(report.syncs(), (18, 13));
        assert_eq!((report.failures.count, report.unsigned.count), (5, 10));
        let text = markdown(&report, &verdict, true);
        assert!(text.contains("Yes: every chain"), "{text}");
        assert!(text.contains("(72.2 %)"), "{text}");
        assert!(text.contains("## Failures and returns: 5"), "{text}");
    }

    #[test]
    fn what_a_commit_says_is_text_in_every_format() {
        let (mut report, verdict) = report();
        let hostile = "<script>alert(1)</script> | **bold** & \"q\"";
        report.commands.push(hostile.to_owned());
        report.applications.insert(hostile.to_owned(), 1);
        let page = html(&report, &verdict, false);
        assert!(!page.contains("<script>"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt; | **bold** &amp; &quot;q&quot;"),
            "{page}"
        );
        assert!(
            page.contains(&format!(
                "<td>{}</td>",
                "&lt;script&gt;alert(1)&lt;/script&gt; | **bold** &amp; &quot;q&quot;"
            )),
            "{page}"
        );
        let text = markdown(&report, &verdict, false);
        assert!(
            text.contains("\\<script\\>") && text.contains("\\|"),
            "{text}"
        );
    }

    #[test]
    fn a_broken_chain_is_said_first() {
        let mut lines = case::history();
        lines.remove(1);
        let verdict = case::verdict(lines.iter().map(String::as_str));
        let text = markdown(&Compliance::default(), &verdict, true);
        assert!(
            text.contains("**No**") && text.contains("record 2 is missing"),
            "{text}"
        );
    }
}
