//! The renderer beside the real kustomize, in one run: time, memory, growth.
//!
//! Enters: the two programs. Leaves: a table on standard output, the same as JSON in a file.
//! Never: a claim without its figure; outputs that differ are an error.
//!
//! usage: `bench_render --kustomize PATH --plimsoll PATH [--json FILE] [--quick]`

mod measure;
mod trees;

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kustomize::{MemoryFiles, Options, ParsedFiles, build};
use serde_json::{Map, Value, json};

use measure::{exponent, least, process, seconds};
use trees::Tree;

/// Longer than this the real kustomize is not waited for; what is printed then is a lower bound.
const PATIENCE: Duration = Duration::from_secs(240);

/// A program that does nothing, as every system has one: what it takes, any process takes.
const NOTHING: &str = "true";

struct Programs {
    kustomize: PathBuf,
    plimsoll: PathBuf,
}

struct Report {
    rows: Vec<[String; 4]>,
    json: Map<String, Value>,
}

impl Report {
    fn row(&mut self, name: &str, ours: String, theirs: String, result: String) {
        self.rows.push([name.to_owned(), ours, theirs, result]);
    }
}

fn in_memory(tree: &Tree) -> MemoryFiles {
    tree.iter()
        .fold(MemoryFiles::new(), |files, (path, content)| {
            files.with(&format!("/{path}"), content)
        })
}

fn on_disk(tree: &Tree, root: &Path) -> std::io::Result<PathBuf> {
    for (path, content) in tree {
        let file = root.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, content)?;
    }
    Ok(root.join("overlay"))
}

/// Builds and prints in this process; the least seconds of several runs, and the text.
fn in_process(tree: &Tree, runs: usize) -> Result<(f64, String), kustomize::Error> {
    let files = in_memory(tree);
    let (seconds, text) = least(runs, || {
        build(&files, "/overlay", &Options::default()).map(|built| built.to_yaml())
    });
    Ok((seconds, text?))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "a figure with one digit")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Both as processes, in turns; the least seconds and the most memory of each.
fn side_by_side(
    programs: &Programs,
    directory: &Path,
    runs: usize,
) -> Result<[(f64, u64); 2], Box<dyn Error>> {
    let mut best = [(f64::INFINITY, 0); 2];
    let mut outputs: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (index, program) in [&programs.plimsoll, &programs.kustomize]
            .into_iter()
            .enumerate()
        {
            let run = process(program, directory, PATIENCE)?
                .ok_or_else(|| format!("{} takes too long", program.display()))?;
            best[index] = (best[index].0.min(run.seconds), best[index].1.max(run.peak));
            outputs[index] = run.output;
        }
    }
    if outputs[0] != outputs[1] {
        return Err(format!("{}: the two print different things", directory.display()).into());
    }
    Ok(best)
}

/// The least seconds of each program, one after another in each run.
fn in_turns<const N: usize>(
    programs: [&Path; N],
    directory: &Path,
    runs: usize,
) -> std::io::Result<[f64; N]> {
    let mut least = [f64::INFINITY; N];
    for _ in 0..runs {
        for (least, program) in least.iter_mut().zip(programs) {
            *least = least.min(seconds(program, directory)?);
        }
    }
    Ok(least)
}

fn small(
    programs: &Programs,
    root: &Path,
    runs: usize,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let directory = on_disk(&trees::small(), &root.join("small"))?;
    let [(_, our_peak), (_, their_peak)] = side_by_side(programs, &directory, runs)?;
    let [ours, theirs, nothing] = in_turns(
        [&programs.plimsoll, &programs.kustomize, Path::new(NOTHING)],
        &directory,
        runs,
    )?;
    let ratio = theirs / ours;
    let beyond = (theirs - nothing) / (ours - nothing);
    report.row(
        "small tree, whole process",
        milliseconds(ours),
        milliseconds(theirs),
        format!("{ratio:.1} times"),
    );
    report.row(
        &format!(
            "  beyond a process that does nothing, {}",
            milliseconds(nothing)
        ),
        milliseconds(ours - nothing),
        milliseconds(theirs - nothing),
        format!("{beyond:.1} times"),
    );
    report.row(
        "small tree, memory",
        megabytes(our_peak),
        megabytes(their_peak),
        String::new(),
    );
    report.json.insert(
        "small".to_owned(),
        json!({"plimsoll_seconds": ours, "kustomize_seconds": theirs, "ratio": ratio, "runs": runs,
               "nothing_seconds": nothing, "ratio_beyond": beyond,
               "plimsoll_bytes": our_peak, "kustomize_bytes": their_peak}),
    );
    Ok(())
}

/// From how many objects on the whole process is how much faster: what a process takes to begin counts for less and less.
fn whole(
    programs: &Programs,
    root: &Path,
    runs: usize,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    for count in [12, 32, 100] {
        let directory = on_disk(&trees::objects(count), &root.join(format!("whole-{count}")))?;
        side_by_side(programs, &directory, 1)?;
        let [ours, theirs] = in_turns([&programs.plimsoll, &programs.kustomize], &directory, runs)?;
        report.row(
            &format!("{count} objects, whole process"),
            milliseconds(ours),
            milliseconds(theirs),
            format!("{:.1} times", theirs / ours),
        );
        report.json.insert(
            format!("whole_{count}"),
            json!({"plimsoll_seconds": ours, "kustomize_seconds": theirs, "ratio": theirs / ours, "runs": runs}),
        );
    }
    Ok(())
}

fn definitions(
    programs: &Programs,
    root: &Path,
    runs: usize,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let tree = trees::definitions(200_000);
    let lines: usize = tree
        .iter()
        .map(|(_, content)| content.lines().count())
        .sum();
    let directory = on_disk(&tree, &root.join("definitions"))?;
    let [(ours, our_peak), (theirs, their_peak)] = side_by_side(programs, &directory, runs)?;
    let (inside, _) = in_process(&tree, runs)?;
    #[expect(clippy::cast_precision_loss, reason = "a ratio with one digit")]
    let memory = their_peak as f64 / our_peak as f64;
    report.row(
        &format!("{lines} lines of definitions, whole process"),
        milliseconds(ours),
        milliseconds(theirs),
        format!("{:.1} times", theirs / ours),
    );
    report.row(
        "  memory",
        megabytes(our_peak),
        megabytes(their_peak),
        format!("1/{memory:.1}"),
    );
    report.row(
        "  in process",
        milliseconds(inside),
        milliseconds(theirs),
        format!("{:.1} times", theirs / inside),
    );
    report.json.insert(
        "definitions".to_owned(),
        json!({"lines": lines, "plimsoll_seconds": ours, "kustomize_seconds": theirs, "ratio": theirs / ours,
               "plimsoll_bytes": our_peak, "kustomize_bytes": their_peak, "memory_ratio": memory,
               "in_process_seconds": inside, "in_process_ratio": theirs / inside}),
    );
    Ok(())
}

fn many(
    programs: &Programs,
    root: &Path,
    quick: bool,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let mut points = Vec::new();
    for count in [1_000_u32, 2_000, 4_000, 8_000, 16_000] {
        let tree = trees::objects(usize::try_from(count)?);
        let (seconds, text) = in_process(&tree, 5)?;
        points.push((f64::from(count), seconds));
        let compared = if quick {
            count == 1_000
        } else {
            count <= 4_000
        };
        let mut theirs = None;
        if compared {
            let directory = on_disk(&tree, &root.join(format!("objects-{count}")))?;
            theirs = process(&programs.kustomize, &directory, PATIENCE)?;
            if theirs
                .as_ref()
                .is_some_and(|run| run.output != text.as_bytes())
            {
                return Err(format!("{count} objects: the two print different things").into());
            }
        }
        let (shown, ratio) = match (&theirs, compared) {
            (Some(run), _) => (
                milliseconds(run.seconds),
                format!("{:.0} times", run.seconds / seconds),
            ),
            (None, true) => (
                format!("> {} s", PATIENCE.as_secs()),
                format!("> {:.0} times", PATIENCE.as_secs_f64() / seconds),
            ),
            (None, false) => (String::new(), String::new()),
        };
        report.row(
            &format!("{count} objects, in process"),
            milliseconds(seconds),
            shown,
            ratio,
        );
        report.json.insert(
            format!("objects_{count}"),
            json!({"seconds": seconds, "kustomize_seconds": theirs.map(|run| run.seconds)}),
        );
    }
    let grows = exponent(&points);
    report.row(
        "growth from 1,000 to 16,000",
        format!("n^{grows:.2}"),
        String::new(),
        String::new(),
    );
    report.json.insert("exponent".to_owned(), grows.into());
    Ok(())
}

/// Many overlays on one base: on one thread and on two, the base parsed once, beside the real one's processes one after another.
fn overlays(
    programs: &Programs,
    root: &Path,
    quick: bool,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    const COUNT: usize = 200;
    let tree = trees::overlays(COUNT);
    let files = in_memory(&tree);
    let run = |threads: usize| -> Result<(f64, u64), Box<dyn Error>> {
        let parsed = Arc::new(ParsedFiles::new(64 << 20));
        let options = Options {
            parsed: Some(Arc::clone(&parsed)),
            ..Options::default()
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= COUNT {
                            break;
                        }
                        let built = build(&files, &format!("/overlay-{number}"), &options);
                        let empty = built.map_or(true, |built| built.to_yaml().is_empty());
                        failed.fetch_add(usize::from(empty), Ordering::Relaxed);
                    }
                });
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        match failed.into_inner() {
            0 => Ok((seconds, parsed.counts().parsed)),
            failed => Err(format!("{failed} of {COUNT} overlays were not built").into()),
        }
    };
    let mut best = [f64::INFINITY; 2];
    let mut parsed = 0;
    for _ in 0..5 {
        for (index, threads) in [1, 2].into_iter().enumerate() {
            let (seconds, files) = run(threads)?;
            (best[index], parsed) = (best[index].min(seconds), files);
        }
    }
    let mut theirs = None;
    if !quick {
        on_disk(&tree, &root.join("overlays"))?;
        let mut sum = 0.0;
        for number in 0..COUNT {
            let directory = root.join("overlays").join(format!("overlay-{number}"));
            let run = process(&programs.kustomize, &directory, PATIENCE)?;
            sum += run.ok_or("the real one takes too long")?.seconds;
        }
        theirs = Some(sum);
    }
    let [one, two] = best;
    report.row(
        &format!("{COUNT} overlays on one base, 1 thread"),
        milliseconds(one),
        theirs.map(milliseconds).unwrap_or_default(),
        theirs.map_or_else(String::new, |theirs| format!("{:.0} times", theirs / one)),
    );
    report.row(
        "  2 threads",
        milliseconds(two),
        String::new(),
        format!("{:.2} of one", two / one),
    );
    report.row(
        "  files of the base parsed",
        parsed.to_string(),
        String::new(),
        String::new(),
    );
    report.json.insert(
        "overlays".to_owned(),
        json!({"count": COUNT, "one_thread_seconds": one, "two_threads_seconds": two, "files_parsed": parsed,
               "kustomize_seconds": theirs}),
    );
    Ok(())
}

/// What the figures depend on.
fn machine(programs: &Programs) -> Value {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |line| line.trim_start_matches(['\t', ' ', ':']));
    let said = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    json!({
        "processor": model,
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
        "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "plimsoll": said(&programs.plimsoll, "--version"),
        "kustomize": said(&programs.kustomize, "version"),
        "flags": "build DIR",
    })
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut programs = Programs {
        kustomize: PathBuf::new(),
        plimsoll: PathBuf::new(),
    };
    let (mut json_file, mut quick) = (None, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .map(PathBuf::from)
                .ok_or(format!("{word} needs a value"))
        };
        match word.as_str() {
            "--kustomize" => programs.kustomize = value()?,
            "--plimsoll" => programs.plimsoll = value()?,
            "--json" => json_file = Some(value()?),
            "--quick" => quick = true,
            other => return Err(format!("{other}: unknown flag").into()),
        }
    }
    let root = std::env::temp_dir().join(format!("plimsoll-bench-render-{}", std::process::id()));
    fs::create_dir(&root)?;
    let mut report = Report {
        rows: Vec::new(),
        json: Map::new(),
    };
    report.json.insert("machine".to_owned(), machine(&programs));
    let runs = if quick { 10 } else { 40 };
    let measured = small(&programs, &root, runs, &mut report)
        .and_then(|()| whole(&programs, &root, runs, &mut report))
        .and_then(|()| many(&programs, &root, quick, &mut report))
        .and_then(|()| overlays(&programs, &root, quick, &mut report))
        .and_then(|()| definitions(&programs, &root, if quick { 2 } else { 5 }, &mut report));
    fs::remove_dir_all(&root)?;
    measured?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{}",
        serde_json::to_string_pretty(&report.json["machine"])?
    )?;
    writeln!(
        out,
        "{:<45} {:>12} {:>12} {:>12}",
        "", "plimsoll", "kustomize", ""
    )?;
    for [name, ours, theirs, result] in &report.rows {
        writeln!(out, "{name:<45} {ours:>12} {theirs:>12} {result:>12}")?;
    }
    if let Some(file) = json_file {
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(
            file,
            serde_json::to_string_pretty(&Value::Object(report.json))?,
        )?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match writeln!(std::io::stderr(), "bench_render: {error}") {
            Ok(()) | Err(_) => ExitCode::FAILURE,
        },
    }
}
