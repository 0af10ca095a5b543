//! Input that is broken, or made to break: every error names the file and what to do, and costs little.
//!
//! Enters: trees in memory. Leaves: errors; bytes allocated, files read. Never: a clock: work is counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    unsafe_code,
    reason = "a test that cannot go on fails; an allocator that counts cannot be written otherwise"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kustomize::{
    EntryKind, Error, ErrorKind, Files, FilesError, LoadRestrictions, MemoryFiles, Options, build,
};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

/// Counts what this thread allocates.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _gone = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _gone = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        if bytes > 0 {
            let _gone =
                TOTAL.try_with(|total| total.set(total.get().saturating_add(bytes.unsigned_abs())));
        }
    });
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(isize::try_from(layout.size()).unwrap_or(isize::MAX));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-isize::try_from(layout.size()).unwrap_or(isize::MAX));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a piece of work cost this thread.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Most bytes held at one time, above those held before.
    peak: usize,
    /// Bytes allocated, one after another.
    total: usize,
}

fn cost<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let before = LIVE.get();
    PEAK.set(before);
    TOTAL.set(0);
    let result = work();
    let peak = usize::try_from(PEAK.get() - before).unwrap();
    (
        result,
        Cost {
            peak,
            total: TOTAL.get(),
        },
    )
}

/// Files that count how often they are asked.
struct Counted {
    files: MemoryFiles,
    reads: AtomicUsize,
    looks: AtomicUsize,
}

impl Files for Counted {
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.files.resolve(path)
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.files.read(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        self.files.list(path)
    }
}

const MIB: usize = 1 << 20;

const WEB: &str =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n";

/// An error as a person reads it: with its causes and its hint.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    if let Some(hint) = error.advice() {
        text = format!("{text}\nhint: {hint}");
    }
    text
}

/// One line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<String> = (0..count).map(line).collect();
    lines.concat()
}

fn tree(files: &[(&str, &str)]) -> MemoryFiles {
    files
        .iter()
        .fold(MemoryFiles::new(), |tree, (path, content)| {
            tree.with(path, content)
        })
}

/// Builds `/a`, asserts that it fails within 64 MiB, and returns the error and what is said of it.
fn fails(files: &MemoryFiles) -> (Error, String) {
    let (result, cost) = cost(|| build(files, "/a", &Options::default()));
    let error = match result {
        Ok(built) => panic!("it was built: {}", built.to_yaml()),
        Err(error) => error,
    };
    assert!(cost.peak < 64 * MIB, "{cost:?}: {error}");
    let text = told(&error);
    (error, text)
}

/// Asserts the kind of the error and all of the parts of what is said.
fn fails_with(files: &MemoryFiles, kind: ErrorKind, parts: &[&str]) {
    let (error, text) = fails(files);
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// A tree with one resource.
fn resource(content: &str) -> MemoryFiles {
    tree(&[
        ("/a/kustomization.yaml", "resources:\n- r.yaml\n"),
        ("/a/r.yaml", content),
    ])
}

/// A tree with one Deployment and this kustomization on top.
fn kustomization(content: &str) -> MemoryFiles {
    tree(&[
        (
            "/a/kustomization.yaml",
            &format!("resources:\n- r.yaml\n{content}"),
        ),
        ("/a/r.yaml", WEB),
    ])
}

// ---- texts ----

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx0: &x0 [l, l, l, l, l, l, l, l, l]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let items = vec![format!("*x{before}"); 9].join(", ");
        text.push_str(&format!("x{level}: &x{level} [{items}]\n"));
    }
    fails_with(&resource(&text), ErrorKind::Limit, &["/a/r.yaml:", "alias"]);
    // As mappings, by merge keys, and in a kustomization and a patch as well.
    let mut text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx0: &x0 {a: l, b: l}\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        text.push_str(&format!(
            "x{level}: &x{level} {{a: *x{before}, b: *x{before}}}\n"
        ));
    }
    fails_with(&resource(&text), ErrorKind::Limit, &["/a/r.yaml:", "alias"]);
    let files = kustomization("patches:\n- path: p.yaml\n").with("/a/p.yaml", &text);
    let (_, said) = fails(&files);
    assert!(
        said.contains("/a/p.yaml") || said.contains("patches"),
        "{said}"
    );
    let files = tree(&[("/a/kustomization.yaml", &text)]);
    fails_with(
        &files,
        ErrorKind::Limit,
        &["/a/kustomization.yaml:", "alias"],
    );
}

#[test]
fn an_alias_to_itself_is_refused() {
    fails_with(
        &resource("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {x: *d}\n"),
        ErrorKind::Syntax,
        &["/a/r.yaml:4:"],
    );
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  {}{}\n",
            open.repeat(100_000),
            close.repeat(100_000)
        );
        fails_with(
            &resource(&text),
            ErrorKind::Limit,
            &["/a/r.yaml:5:", "nested deeper"],
        );
    }
}

#[test]
fn size_is_bounded_before_anything_is_parsed() {
    let mut limits = kustomize::Limits::default();
    limits.file_bytes = MIB;
    let options = Options {
        limits,
        ..Options::default()
    };
    let files = resource(&format!("# {}\n{WEB}", "x".repeat(2 * MIB)));
    let (result, spent) = cost(|| build(&files, "/a", &options));
    let text = told(&result.unwrap_err());
    assert!(
        text.contains("/a/r.yaml") && text.contains("the limit is 1048576"),
        "{text}"
    );
    assert!(spent.total < MIB, "{spent:?}");
    // By default a file of 50 MB is too large, and not copied to find that out.
    let files = resource(&format!("# {}\n{WEB}", "x".repeat(50_000_000)));
    let (result, spent) = cost(|| build(&files, "/a", &Options::default()));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        told(&error).contains("kustomization.yaml:2:"),
        "{}",
        told(&error)
    );
    assert!(spent.total < MIB, "{spent:?}");
}

#[test]
fn the_sum_of_all_files_is_bounded() {
    let mut limits = kustomize::Limits::default();
    limits.total_bytes = 10_000;
    let options = Options {
        limits,
        ..Options::default()
    };
    let mut files = MemoryFiles::new();
    let mut list = "resources:\n".to_owned();
    for index in 0..20 {
        list.push_str(&format!("- r{index}.yaml\n"));
        files.insert(
            &format!("/a/r{index}.yaml"),
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\n# {}\n",
                "x".repeat(1000)
            ),
        );
    }
    files.insert("/a/kustomization.yaml", list);
    let error = build(&files, "/a", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(
        told(&error).contains("more than 10000 bytes"),
        "{}",
        told(&error)
    );
}

#[test]
fn the_number_of_objects_is_bounded() {
    let mut limits = kustomize::Limits::default();
    limits.objects = 50;
    let options = Options {
        limits,
        ..Options::default()
    };
    // In one file, in a List, and over several files.
    let many = (0..60).fold(String::new(), |mut text, index| {
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\n"
        ));
        text
    });
    let error = build(&resource(&many), "/a", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{}", told(&error));
    let mut files = MemoryFiles::new();
    let mut list = "resources:\n".to_owned();
    for index in 0..60 {
        list.push_str(&format!("- r{index}.yaml\n"));
        files.insert(
            &format!("/a/r{index}.yaml"),
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\n"),
        );
    }
    files.insert("/a/kustomization.yaml", list);
    let error = build(&files, "/a", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{}", told(&error));
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    for (content, line) in [
        (&b"apiVersion: v1\nkind: \xff\n"[..], 2),
        (
            b"apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: \"\xc3\x28\"\n",
            4,
        ),
        (b"apiVersion: v1\nkind: A\x00B\n", 2),
        (b"\x00\x00\x00", 1),
        (b"apiVersion: v1\n\x07kind: A\n", 2),
        (b"apiVersion: v1\nkind: \xed\xa0\x80\n", 2),
    ] {
        let files =
            tree(&[("/a/kustomization.yaml", "resources: [r.yaml]\n")]).with("/a/r.yaml", content);
        fails_with(&files, ErrorKind::Syntax, &[&format!("/a/r.yaml:{line}:")]);
        let files = MemoryFiles::new().with("/a/kustomization.yaml", content);
        fails_with(
            &files,
            ErrorKind::Syntax,
            &[&format!("/a/kustomization.yaml:{line}:")],
        );
    }
}

#[test]
fn nul_bytes_are_refused_in_whatever_is_yaml() {
    let patched = "resources: [r.yaml]\npatches: [{path: p.yaml}]\n";
    for (kustomization, path, content, place) in [
        (
            "resources: [r.yaml]\n",
            "/a/r.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\0\"}\n",
            "/a/r.yaml:3:",
        ),
        (
            "resources: [r.yaml]\n",
            "/a/r.yaml",
            "apiVersion: v1\n# \0\nkind: ConfigMap\n",
            "/a/r.yaml:2:",
        ),
        (
            patched,
            "/a/p.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: \0\n",
            "/a/p.yaml:4:",
        ),
        (
            "resources: [r.yaml]\nconfigurations: [c.yaml]\n",
            "/a/c.yaml",
            "namePrefix:\n- path: a\0b\n",
            "/a/c.yaml:2:",
        ),
        (
            "resources: [r.yaml]\ntransformers: [t.yaml]\n",
            "/a/t.yaml",
            "apiVersion: builtin\0\n",
            "/a/t.yaml:1:",
        ),
        (
            "resources: [r.yaml]\nreplacements: [{path: s.yaml}]\n",
            "/a/s.yaml",
            "source: {kind: \0}\n",
            "/a/s.yaml:1:",
        ),
    ] {
        let files = tree(&[("/a/kustomization.yaml", kustomization), ("/a/r.yaml", WEB)])
            .with(path, content);
        let (_, text) = fails(&files);
        assert!(text.contains(place), "{content:?}: {text}");
        assert!(!text.contains('\0'), "{content:?}: {text:?}");
    }
    // As the path of a file it names nothing, and as an escape it is text like any other.
    fails_with(
        &kustomization("resources: [\"r\\0\\e[2J.yaml\"]\n"),
        ErrorKind::Load,
        &["r\\u{0}\\u{1b}[2J.yaml", "/a/kustomization.yaml:3:"],
    );
    let built = build(
        &resource("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: \"a\\0b\"}\n"),
        "/a",
        &Options::default(),
    )
    .unwrap();
    assert!(
        built.to_yaml().contains("k: \"a\\0b\""),
        "{}",
        built.to_yaml()
    );
}

#[test]
fn nul_bytes_in_a_file_of_a_generator_are_data() {
    let files = tree(&[(
        "/a/kustomization.yaml",
        "generatorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator: [{name: a, files: [f]}]\n",
    )])
    .with("/a/f", &b"a\x00b\n"[..]);
    let built = build(&files, "/a", &Options::default()).unwrap();
    assert!(
        built.to_yaml().contains("f: \"a\\0b\\n\""),
        "{}",
        built.to_yaml()
    );
}

#[test]
fn windows_line_ends_and_byte_order_marks_are_read() {
    let plain = build(&resource(WEB), "/a", &Options::default())
        .unwrap()
        .to_yaml();
    for files in [
        resource(&WEB.replace('\n', "\r\n")),
        resource(&format!("\u{feff}{WEB}")),
        tree(&[
            (
                "/a/kustomization.yaml",
                "\u{feff}resources:\r\n- r.yaml\r\n",
            ),
            (
                "/a/r.yaml",
                &format!("\u{feff}{}", WEB.replace('\n', "\r\n")),
            ),
        ]),
    ] {
        assert_eq!(
            build(&files, "/a", &Options::default()).unwrap().to_yaml(),
            plain
        );
    }
}

#[test]
fn tabs_are_refused_where_they_indent() {
    fails_with(
        &resource("apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n"),
        ErrorKind::Syntax,
        &["/a/r.yaml:4:1", "tab"],
    );
    let files = tree(&[("/a/kustomization.yaml", "resources:\n\t- r.yaml\n")]);
    fails_with(
        &files,
        ErrorKind::Syntax,
        &["/a/kustomization.yaml:2:1", "tab"],
    );
}

#[test]
fn a_key_that_stands_twice_is_refused_in_an_object() {
    fails_with(
        &resource("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: 1\n  k: 2\n"),
        ErrorKind::Object,
        &["/a/r.yaml:7:3", "\"k\""],
    );
}

// ---- trees ----

#[test]
fn a_kustomization_cannot_be_its_own_base() {
    for path in [".", "./", "../a", "..", "../", "../a/.", "../../a"] {
        let files = tree(&[("/a/kustomization.yaml", &format!("resources:\n- {path}\n"))]);
        let (_, said) = fails(&files);
        assert!(said.contains("/a/kustomization.yaml:2:3"), "{path}: {said}");
    }
    let files = tree(&[("/a/kustomization.yaml", "components:\n- ../a\n")]);
    fails_with(
        &files,
        ErrorKind::Load,
        &["/a/kustomization.yaml:2:3", "hint: "],
    );
    // The file itself as a resource.
    let files = tree(&[(
        "/a/kustomization.yaml",
        "resources:\n- kustomization.yaml\n",
    )]);
    let (_, said) = fails(&files);
    assert!(said.contains("/a/kustomization.yaml"), "{said}");
}

#[test]
fn a_circle_of_bases_is_refused() {
    let mut files = tree(&[
        ("/a/kustomization.yaml", "resources:\n- ../b\n"),
        ("/b/kustomization.yaml", "resources:\n- ../c\n"),
        ("/c/kustomization.yaml", "resources:\n- ../a\n"),
    ]);
    fails_with(
        &files,
        ErrorKind::Load,
        &["/c/kustomization.yaml:2:3", "is being built", "hint: "],
    );
    // By a link, which has another name.
    files.insert_link("/alias", "a");
    files.insert("/c/kustomization.yaml", "resources:\n- ../alias\n");
    fails_with(
        &files,
        ErrorKind::Load,
        &["/c/kustomization.yaml:2:3", "is being built"],
    );
    // By way of components and transformers.
    for field in ["components", "transformers", "generators", "validators"] {
        files.insert("/c/kustomization.yaml", format!("{field}:\n- ../a\n"));
        fails_with(
            &files,
            ErrorKind::Load,
            &["/c/kustomization.yaml:2:3", "is being built"],
        );
    }
}

#[test]
fn bases_nest_no_deeper_than_the_limit() {
    let mut files = MemoryFiles::new();
    for index in 0..1000 {
        files.insert(
            &format!("/d{index}/kustomization.yaml"),
            format!("resources:\n- ../d{}\n", index + 1),
        );
    }
    files.insert("/a/kustomization.yaml", "resources:\n- ../d0\n");
    fails_with(&files, ErrorKind::Limit, &["deeper than 64"]);
}

#[test]
fn bases_that_double_at_each_level_are_bounded() {
    // Two ways down at each of 40 levels are 2^40 builds; the bytes read bound them.
    let mut files = MemoryFiles::new();
    for index in 0..40 {
        files.insert(
            &format!("/l{index}/kustomization.yaml"),
            format!("resources: [../l{0}, ../r{0}]\n", index + 1),
        );
        files.insert(
            &format!("/r{index}/kustomization.yaml"),
            format!("resources: [../l{0}, ../r{0}]\n", index + 1),
        );
    }
    for side in ["l", "r"] {
        files.insert(
            &format!("/{side}40/kustomization.yaml"),
            "resources: []\nnamePrefix: x\n",
        );
    }
    files.insert("/a/kustomization.yaml", "resources: [../l0]\n");
    let counted = Counted {
        files,
        reads: AtomicUsize::new(0),
        looks: AtomicUsize::new(0),
    };
    let error = build(&counted, "/a", &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{}", told(&error));
    let reads = counted.reads.load(Ordering::Relaxed);
    assert!(reads <= 100_000, "{reads} reads");
}

#[test]
fn paths_cannot_leave_what_they_may_read() {
    let secret = [("/secret", "x"), ("/b/r.yaml", WEB)];
    for (content, place, part) in [
        (
            "resources:\n- ../b/r.yaml\n",
            ":2:3",
            "LoadRestrictionsNone",
        ),
        ("resources:\n- /b/r.yaml\n", ":2:3", "/b/r.yaml"),
        (
            "resources:\n- ../../../../secret\n",
            ":2:3",
            "leads out of the tree",
        ),
        ("resources:\n- /b\n", ":2:3", "absolute"),
        ("components:\n- /b\n", ":2:3", "absolute"),
        (
            "configMapGenerator:\n- name: c\n  files:\n  - ../secret\n",
            "",
            "LoadRestrictionsNone",
        ),
        (
            "configMapGenerator:\n- name: c\n  files:\n  - k=/secret\n",
            "",
            "/secret",
        ),
        (
            "secretGenerator:\n- name: c\n  envs:\n  - ../secret\n",
            "",
            "LoadRestrictionsNone",
        ),
        ("patches:\n- path: ../secret\n", "", "LoadRestrictionsNone"),
        (
            "patchesStrategicMerge:\n- ../secret\n",
            "",
            "LoadRestrictionsNone",
        ),
        (
            "replacements:\n- path: ../secret\n",
            "",
            "LoadRestrictionsNone",
        ),
        ("configurations:\n- ../secret\n", "", "LoadRestrictionsNone"),
        ("crds:\n- ../secret\n", "", "LoadRestrictionsNone"),
        ("openapi:\n  path: ../secret\n", "", "LoadRestrictionsNone"),
        (
            "transformers:\n- ../b/r.yaml\n",
            ":2:3",
            "LoadRestrictionsNone",
        ),
    ] {
        let files = tree(&secret).with("/a/kustomization.yaml", content);
        let (_, said) = fails(&files);
        assert!(
            said.contains(&format!("/a/kustomization.yaml{place}")),
            "{content}{said}"
        );
        assert!(said.contains(part), "{content}{said}");
    }
}

#[test]
fn links_cannot_leave_what_they_may_read() {
    for target in ["../secret", "/secret"] {
        let mut files = tree(&[
            ("/secret", WEB),
            ("/a/kustomization.yaml", "resources:\n- r.yaml\n"),
        ]);
        files.insert_link("/a/r.yaml", target);
        fails_with(
            &files,
            ErrorKind::Load,
            &["/a/kustomization.yaml:2:3", "LoadRestrictionsNone"],
        );
        let options = Options {
            load_restrictions: LoadRestrictions::None,
            ..Options::default()
        };
        build(&files, "/a", &options).unwrap();
    }
    // Out of the tree nothing leads, whatever the restrictions are.
    for restrictions in [LoadRestrictions::RootOnly, LoadRestrictions::None] {
        for target in ["../../etc/passwd", "../../../../../../etc", "r.yaml"] {
            let mut files = tree(&[("/a/kustomization.yaml", "resources:\n- r.yaml\n")]);
            files.insert_link("/a/r.yaml", target);
            let options = Options {
                load_restrictions: restrictions,
                ..Options::default()
            };
            let error = build(&files, "/a", &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Load);
            assert!(
                told(&error).contains("/a/kustomization.yaml:2:3"),
                "{}",
                told(&error)
            );
        }
    }
    // A kustomization file that is a link to somewhere else is none.
    let mut files = tree(&[("/b/k.yaml", "namePrefix: x\n")]);
    files.insert_directory("/a");
    files.insert_link("/a/kustomization.yaml", "../b/k.yaml");
    let (_, said) = fails(&files);
    assert!(said.contains("/a"), "{said}");
}

#[test]
fn a_slip_of_indentation_is_told_from_a_path() {
    let files = tree(&[("/a/kustomization.yaml", "resources:\n- ../b\n - ../c\n")]);
    fails_with(
        &files,
        ErrorKind::Load,
        &["/a/kustomization.yaml:2:3", "hint: check the indentation"],
    );
}

// ---- kustomizations ----

#[test]
fn what_is_wrong_with_a_kustomization_is_said_all_at_once() {
    let files = kustomization("namePrefx: x\nimages: {a: b}\npatches:\n- target: [1]\n");
    let (error, said) = fails(&files);
    assert_eq!(error.kind(), ErrorKind::Several, "{said}");
    for part in [
        "/a/kustomization.yaml:3:1",
        "namePrefx",
        "/a/kustomization.yaml:4:9",
        "images",
        "/a/kustomization.yaml:6:11",
        "patches[0].target",
    ] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[test]
fn unknown_fields_name_the_one_that_was_meant() {
    let (_, said) = fails(&kustomization("namePrefx: x\n"));
    assert!(
        said.contains("hint: ") && said.contains("namePrefix"),
        "{said}"
    );
}

#[test]
fn wrong_types_are_refused_where_they_stand() {
    for (content, place) in [
        ("namespace: [x]\n", ":3:12"),
        ("namePrefix: {a: b}\n", ":3:13"),
        ("labels: x\n", ":3:9"),
        ("labels:\n- pairs: [x]\n", ":4:10"),
        ("labels:\n- pairs: {a: {b: c}}\n", ":4:1"),
        ("commonAnnotations: [x]\n", ":3:20"),
        ("images:\n- name: [x]\n", ":4:9"),
        ("replicas:\n- name: x\n  count: many\n", ":5:10"),
        ("configMapGenerator:\n- name: c\n  literals: a=b\n", ":5:13"),
        ("generatorOptions: [x]\n", ":3:19"),
        ("patches: x\n", ":3:10"),
        ("patches:\n- x\n", ":4:3"),
        ("replacements:\n- source: x\n", ":4:11"),
        ("vars:\n- name: {}\n", ":4:9"),
        ("components: {}\n", ":3:13"),
        ("sortOptions: legacy\n", ":3:14"),
        ("buildMetadata: x\n", ":3:16"),
    ] {
        let (error, said) = fails(&kustomization(content));
        assert!(
            matches!(error.kind(), ErrorKind::Kustomization),
            "{content}{said}"
        );
        assert!(
            said.contains(&format!("/a/kustomization.yaml{place}")),
            "{content}{said}"
        );
    }
    let files = tree(&[("/a/kustomization.yaml", "resources: r.yaml\n")]);
    fails_with(
        &files,
        ErrorKind::Kustomization,
        &["/a/kustomization.yaml:1:12", "resources"],
    );
    let files = tree(&[("/a/kustomization.yaml", "- a\n- b\n")]);
    fails_with(
        &files,
        ErrorKind::Kustomization,
        &["/a/kustomization.yaml:1:"],
    );
}

#[test]
fn kustomizations_are_found_or_missed_by_name() {
    let files = tree(&[("/a/r.yaml", WEB)]);
    fails_with(
        &files,
        ErrorKind::Kustomization,
        &["/a", "hint: it must be named kustomization.yaml"],
    );
    let files = tree(&[
        ("/a/kustomization.yaml", "namePrefix: a\n"),
        ("/a/Kustomization", "namePrefix: b\n"),
    ]);
    fails_with(
        &files,
        ErrorKind::Kustomization,
        &["/a/kustomization.yaml and /a/Kustomization"],
    );
    for empty in [
        "",
        "# nothing\n",
        "---\n",
        "{}\n",
        "null\n",
        "kind: Kustomization\n",
    ] {
        let files = tree(&[("/a/kustomization.yaml", empty)]);
        fails_with(
            &files,
            ErrorKind::Kustomization,
            &["/a/kustomization.yaml", "empty"],
        );
    }
}

// ---- what does not fit together ----

#[test]
fn patches_that_match_nothing_are_refused() {
    let (_, said) = fails(&kustomization(
        "patches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: wob}\n",
    ));
    assert!(
        said.contains("/a/kustomization.yaml:5") && said.contains("wob"),
        "{said}"
    );
    assert!(said.contains("hint: "), "{said}");
    let files = kustomization("patches:\n- path: p.yaml\n").with(
        "/a/p.yaml",
        "apiVersion: v1\nkind: Deployment\nmetadata: {name: web}\n",
    );
    let (error, said) = fails(&files);
    assert_eq!(error.kind(), ErrorKind::Patch, "{said}");
    assert!(
        said.contains("/a/p.yaml:1") || said.contains("/a/kustomization.yaml:4"),
        "{said}"
    );
    // With a target, to match nothing is no error, as upstream.
    let files = kustomization(
        "patches:\n- target: {kind: None}\n  patch: '[{\"op\": \"remove\", \"path\": \"/a\"}]'\n",
    );
    build(&files, "/a", &Options::default()).unwrap();
}

#[test]
fn a_json_patch_that_cannot_be_applied_names_the_operation() {
    for (patch, part) in [
        ("[{op: test, path: /spec/replicas, value: 2}]", "test"),
        ("[{op: remove, path: /spec/none}]", "/spec/none"),
        (
            "[{op: replace, path: /spec/none/x, value: 1}]",
            "/spec/none",
        ),
        ("[{op: add, path: /spec/none/x, value: 1}]", "/spec/none"),
        ("[{op: what, path: /x}]", "what"),
    ] {
        let files = kustomization(&format!(
            "patches:\n- target: {{kind: Deployment}}\n  patch: \"- {}\"\n",
            &patch[1..patch.len() - 1]
        ));
        let (error, said) = fails(&files);
        assert_eq!(error.kind(), ErrorKind::Patch, "{said}");
        assert!(
            said.contains("/a/kustomization.yaml:") && said.contains(part),
            "{said}"
        );
    }
    // What begins like JSON is JSON, as upstream has it; the hint says so.
    let files = kustomization(
        "patches:\n- target: {kind: Deployment}\n  patch: '[{op: remove, path: /x}]'\n",
    );
    fails_with(
        &files,
        ErrorKind::Patch,
        &[
            "/a/kustomization.yaml:5:",
            "hint: what begins with `[` is read as JSON",
        ],
    );
}

#[test]
fn two_objects_with_one_name_are_refused_with_both_places() {
    let files = tree(&[
        ("/a/kustomization.yaml", "resources:\n- r.yaml\n- s.yaml\n"),
        ("/a/r.yaml", WEB),
        ("/a/s.yaml", &format!("# another\n{WEB}")),
    ]);
    fails_with(
        &files,
        ErrorKind::Identity,
        &["/a/s.yaml:2", "/a/r.yaml, line 1", "web"],
    );
    // They can become one by a namespace.
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "namespace: x\nresources:\n- r.yaml\n- s.yaml\n",
        ),
        ("/a/r.yaml", WEB),
        (
            "/a/s.yaml",
            &WEB.replace("name: web", "name: web\n  namespace: y"),
        ),
    ]);
    let (_, said) = fails(&files);
    assert!(said.contains("web") && said.contains("/a/"), "{said}");
    let files = tree(&[(
        "/a/kustomization.yaml",
        "configMapGenerator:\n- {name: c, literals: [a=b]}\n- {name: c, literals: [a=b]}\n",
    )]);
    let (_, said) = fails(&files);
    assert!(
        said.contains("/a/kustomization.yaml:") && said.contains('c'),
        "{said}"
    );
}

#[test]
fn generators_with_missing_files_name_them() {
    for (content, part) in [
        (
            "configMapGenerator:\n- name: c\n  files: [none.txt]\n",
            "none.txt",
        ),
        (
            "secretGenerator:\n- name: c\n  files: [k=none.txt]\n",
            "none.txt",
        ),
        (
            "configMapGenerator:\n- name: c\n  envs: [none.env]\n",
            "none.env",
        ),
        (
            "configMapGenerator:\n- name: c\n  files: [a=b=c]\n",
            "a=b=c",
        ),
        ("configMapGenerator:\n- name: c\n  literals: [ab]\n", "ab"),
        (
            "configMapGenerator:\n- name: c\n  literals: [a=1, a=2]\n",
            "a",
        ),
        ("configMapGenerator:\n- literals: [a=1]\n", "name"),
        (
            "configMapGenerator:\n- name: c\n  behavior: merge\n",
            "merge",
        ),
    ] {
        let (_, said) = fails(&kustomization(content));
        assert!(
            said.contains("/a/kustomization.yaml:") && said.contains(part),
            "{content}{said}"
        );
    }
}

#[test]
fn what_is_not_supported_says_what_to_do() {
    let exec = "apiVersion: x\nkind: y\nmetadata:\n  name: z\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./x}\n";
    for (content, kind) in [
        (
            "helmCharts:\n- name: x\n  repo: https://example.org\n",
            ErrorKind::Charts,
        ),
        ("generators:\n- f.yaml\n", ErrorKind::Plugin),
        ("transformers:\n- f.yaml\n", ErrorKind::Plugin),
        ("validators:\n- f.yaml\n", ErrorKind::Plugin),
    ] {
        let files = kustomization(content).with("/a/f.yaml", exec);
        let (error, said) = fails(&files);
        assert_eq!(error.kind(), kind, "{said}");
        assert!(said.contains("hint: ") && said.contains("/a/"), "{said}");
    }
    for url in [
        "https://example.org/team/repository//deploy?ref=v1",
        "git@example.org:team/repository.git",
        "https://example.org/file.yaml",
        "github.com/team/repository",
    ] {
        let files = tree(&[("/a/kustomization.yaml", &format!("resources:\n- {url}\n"))]);
        let host = if url.starts_with("github") {
            "github.com"
        } else {
            "example.org"
        };
        fails_with(
            &files,
            ErrorKind::Remote,
            &[
                "/a/kustomization.yaml:2:3",
                &format!("hint: allow the host with --allow-remote {host}"),
            ],
        );
    }
}

#[test]
fn regular_expressions_cannot_take_long() {
    for name in ["(a+)+$", "(a|a)*b", "((((a{100}){100}){100}){100})"] {
        let files = kustomization(&format!(
            "patches:\n- target: {{name: {name:?}}}\n  patch: '[{{\"op\": \"add\", \"path\": \"/x\", \"value\": 1}}]'\n"
        ));
        let (result, spent) = cost(|| build(&files, "/a", &Options::default()));
        assert!(spent.peak < 32 * MIB, "{spent:?}");
        if let Err(error) = result {
            assert!(
                told(&error).contains("/a/kustomization.yaml:5:10"),
                "{}",
                told(&error)
            );
        }
    }
}

/// Each line is looked at once, not once for each comment: a square of so many lines would not end.
#[test]
fn comments_without_end_in_a_text_cost_what_their_lines_cost() {
    const LINES: usize = 200_000;
    let comments = "    # a comment\n".repeat(LINES);
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  k: |\n    one: 1\n{comments}    two: b\n"
    );
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "resources: [r.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: a, fieldPath: metadata.name}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.k.two]\n",
        ),
        ("/a/r.yaml", &map),
    ]);
    let (built, cost) = cost(|| build(&files, "/a", &Options::default()).unwrap().to_yaml());
    assert_eq!(built.matches("# a comment").count(), LINES);
    assert!(built.contains("two: a"), "the field is changed");
    assert!(cost.total < 60 * map.len(), "{cost:?} for {}", map.len());
}

/// Definitions of which each refers twice to the next are as many as one likes to whoever follows all of them.
#[test]
fn definitions_that_double_at_each_level_are_bounded() {
    let mut definitions = vec![
        r#""x/v1.Bee": {"Schema": {"properties": {"apiVersion": {}, "kind": {}, "metadata": {}, "spec": {"$ref": "d0"}}}}"#.to_owned(),
    ];
    for level in 0..40 {
        let next = level + 1;
        definitions.push(format!(
            r#""d{level}": {{"Schema": {{"properties": {{"a": {{"$ref": "d{next}"}}, "b": {{"$ref": "d{next}"}}}}}}}}"#
        ));
    }
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "resources: [o.yaml]\ncrds: [c.json]\n",
        ),
        (
            "/a/o.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        ),
        ("/a/c.json", &format!("{{{}}}", definitions.join(","))),
    ]);
    fails_with(
        &files,
        ErrorKind::Limit,
        &["fields of definitions", "kustomization.yaml"],
    );
}

/// A list that has a definition of its own, and whose items refer to it twice.
#[test]
fn a_list_of_a_schema_that_holds_itself_twice_is_followed_once() {
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "resources: [o.yaml]\nopenapi: {path: s.json}\n",
        ),
        (
            "/a/o.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        ),
        (
            "/a/s.json",
            r##"{"definitions": {"L": {"type": "array", "items": {"properties":
            {"a": {"$ref": "#/definitions/L"}, "b": {"$ref": "#/definitions/L"}}}}}}"##,
        ),
    ]);
    let (built, cost) = cost(|| build(&files, "/a", &Options::default()));
    built.unwrap();
    assert!(cost.total < 1 << 20, "{cost:?}");
}

/// Two lists of as many elements, each of which has its like in the other.
#[test]
fn long_lists_are_merged_without_comparing_all_with_all() {
    const COUNT: usize = 20_000;
    let service = |name: &str| {
        let ports = lines(COUNT, |port| {
            format!("  - {{port: {port}, protocol: TCP, name: {name}}}\n")
        });
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a, finalizers: [x]}}\nspec:\n  ports:\n{ports}"
        )
    };
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "resources: [o.yaml]\npatches: [{path: p.yaml}]\n",
        ),
        ("/a/o.yaml", &service("old")),
        ("/a/p.yaml", &service("new")),
    ]);
    let built = build(&files, "/a", &Options::default()).unwrap();
    let ports = built.resources[0].value["spec"]["ports"]
        .as_array()
        .unwrap();
    assert_eq!(ports.len(), COUNT);
    assert!(ports.iter().all(|port| port["name"] == "new"));
}

/// Elements that lack a key are compared one with another, so there cannot be any number of them.
#[test]
fn long_lists_of_elements_without_keys_are_refused() {
    let containers = "  - {image: x}\n".repeat(50_000);
    let pod = |containers: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n  - {{name: a}}\n{containers}"
        )
    };
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            "resources: [o.yaml]\npatches: [{path: p.yaml}]\n",
        ),
        ("/a/o.yaml", &pod(&containers)),
        (
            "/a/p.yaml",
            &pod(&lines(1000, |at| format!("  - {{name: c{at}}}\n"))),
        ),
    ]);
    fails_with(&files, ErrorKind::Limit, &["lack keys", "spec.containers"]);
}

/// Each of many generators replaces one object; what is known of the others stays.
#[test]
fn many_generators_that_replace_cost_what_they_make() {
    const COUNT: usize = 8_000;
    let generators = lines(COUNT, |at| {
        format!("- {{name: c{at}, behavior: replace, literals: [a=b]}}\n")
    });
    let objects: Vec<String> = (0..COUNT)
        .map(|at| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{at}}}\n"))
        .collect();
    let files = tree(&[
        (
            "/a/kustomization.yaml",
            &format!("resources: [o.yaml]\nconfigMapGenerator:\n{generators}"),
        ),
        ("/a/o.yaml", &objects.join("---\n")),
    ]);
    let (built, cost) = cost(|| build(&files, "/a", &Options::default()));
    assert_eq!(built.unwrap().resources.len(), COUNT);
    assert!(cost.total < 800 * MIB, "{cost:?}");
}

/// Many generators that merge into one object: each passes what all before it have made.
#[test]
fn many_generators_that_merge_into_one_are_bounded() {
    let generators = lines(4_000, |at| {
        format!("- {{name: c, behavior: merge, literals: [k{at}=b]}}\n")
    });
    let content = format!("configMapGenerator:\n- {{name: c, literals: [a=b]}}\n{generators}");
    let files = tree(&[("/a/kustomization.yaml", &content)]);
    fails_with(&files, ErrorKind::Limit, &["merge generated data"]);
}
