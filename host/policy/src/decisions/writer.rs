//! The thread that writes: it gathers lines while more come, writes them when none does, and begins the file anew when it
//! is full.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::Counts;
use super::record::Record;

/// Lines are written together up to this size, in bytes.
const CHUNK: u64 = 64 << 10;
/// How long nothing is tried after a failure: a full disk is not empty in the next moment.
const REST: Duration = Duration::from_secs(1);
/// How long a file is kept open, so that one which was moved or removed is begun anew.
const KEPT: Duration = Duration::from_secs(1);

/// Writes decisions to a file.
pub struct Writer {
    path: PathBuf,
    max_size: u64,
    counts: Arc<Counts>,
    open: Option<Open>,
    /// Whole lines that are to be written, and how many they are.
    lines: Vec<u8>,
    count: u64,
    /// When writing failed the last time.
    failed: Option<Instant>,
    rest: Duration,
}

struct Open {
    file: File,
    size: u64,
    /// Whether it ends within a line: a process was killed, or a disk was full.
    torn: bool,
    since: Instant,
}

impl Writer {
    pub fn new(path: PathBuf, max_size: u64, counts: Arc<Counts>) -> Self {
        Self { path, max_size, counts, open: None, lines: Vec::new(), count: 0, failed: None, rest: REST }
    }

    /// Writes what comes, until nothing can come any more.
    pub fn run(mut self, records: &Receiver<Record>) {
        while let Ok(record) = records.recv() {
            self.add(&record);
            while let Ok(record) = records.try_recv() {
                self.add(&record);
            }
            self.flush();
        }
    }

    fn add(&mut self, record: &Record) {
        let before = self.lines.len();
        let written = record.write(&mut self.lines);
        let line = (self.lines.len() - before) as u64;
        if written.is_err() || line > self.max_size {
            self.lines.truncate(before);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if before as u64 + line > CHUNK.min(self.max_size) {
            let last = self.lines.split_off(before);
            self.flush();
            self.lines = last;
        }
        self.count += 1;
    }

    /// Writes the lines; those that cannot be written are lost and counted.
    fn flush(&mut self) {
        let count = std::mem::take(&mut self.count);
        if count == 0 {
            return;
        }
        let resting = self.failed.is_some_and(|failed| failed.elapsed() < self.rest);
        let written = if resting { None } else { Some(self.write()) };
        self.lines.clear();
        if !matches!(written, Some(Ok(()))) {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
        match written {
            None => {}
            Some(Err(error)) => self.fail(&error),
            Some(Ok(())) => {
                self.counts.written.fetch_add(count, Ordering::Relaxed);
                if self.failed.take().is_some() {
                    *self.counts.trouble.lock() = None;
                    tracing::info!(file = %self.path.display(), "decisions are written again");
                }
            }
        }
    }

    /// Told once, until it goes well again.
    fn fail(&mut self, error: &io::Error) {
        self.open = None;
        let problem = format!("{}: {error}", self.path.display());
        if self.failed.replace(Instant::now()).is_none() {
            tracing::warn!("decisions are not written, policies go on, and it is tried again: {problem}");
        }
        *self.counts.trouble.lock() = Some(problem);
    }

    fn write(&mut self) -> io::Result<()> {
        let kept = self.open.take().filter(|open| open.since.elapsed() < KEPT);
        let mut open = kept.map_or_else(|| Open::at(&self.path), Ok)?;
        let more = self.lines.len() as u64 + u64::from(open.torn);
        if open.size > 0 && open.size + more > self.max_size {
            drop(open);
            fs::rename(&self.path, earlier(&self.path))?;
            open = Open::at(&self.path)?;
        }
        if std::mem::take(&mut open.torn) {
            open.file.write_all(b"\n")?;
            open.size += 1;
        }
        open.file.write_all(&self.lines)?;
        open.size += self.lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // To rename a device or a pipe would do harm, and to open one may wait for ever.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("expected a file, or nothing yet"));
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // It tells what platforms said of somebody's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let size = file.metadata()?.len();
        let mut last = *b"\n";
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self { file, size, torn: last != *b"\n", since: Instant::now() })
    }
}

/// The file with what was written before.
fn earlier(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Failure, Verdict};

    use super::super::record::{Author, Decision};
    use super::super::witness::Looked;
    use super::*;

    /// A decision whose line has exactly this many bytes.
    fn record(bytes: usize) -> Record {
        let of = |message: String| {
            let failure = Failure { message: Some(message), ..Failure::default() };
            let author = Author { path: "retry/x.rhai".into(), rule: None, generation: 1 };
            let decision = Decision::Retry(failure, Ok(Verdict::abstain()));
            Record { at_ms: 1, author, decision, looked: Looked::default(), took_ns: 1 }
        };
        let mut line = Vec::new();
        of(String::new()).write(&mut line).unwrap();
        of("x".repeat(bytes.checked_sub(line.len()).expect("a line has more bytes")))
    }

    struct Scene {
        dir: tempfile::TempDir,
        writer: Writer,
    }

    impl Scene {
        fn new(path: &str, max_size: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = Writer::new(dir.path().join(path), max_size, Arc::default());
            writer.rest = Duration::ZERO;
            Self { dir, writer }
        }

        fn write(&mut self, bytes: usize) {
            self.writer.add(&record(bytes));
            self.writer.flush();
        }

        fn size(&self, name: &str) -> Option<u64> {
            fs::metadata(self.dir.path().join(name)).ok().map(|found| found.len())
        }

        /// Lines written and lost.
        fn counts(&self) -> (u64, u64) {
            let counts = &self.writer.counts;
            (counts.written.load(Ordering::Relaxed), counts.dropped.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_file_holds_its_size_to_the_byte_and_one_more_line_begins_it_anew() {
        let mut scene = Scene::new("log", 1_000);
        scene.write(400);
        scene.write(600);
        assert_eq!((scene.size("log"), scene.size("log.1")), (Some(1_000), None));
        scene.write(300);
        assert_eq!((scene.size("log"), scene.size("log.1")), (Some(300), Some(1_000)));
        scene.write(701);
        assert_eq!((scene.size("log"), scene.size("log.1")), (Some(701), Some(300)), "the earlier one is replaced");
        scene.write(1_000);
        assert_eq!(scene.counts(), (5, 0));
        scene.write(1_001);
        assert_eq!(
            (scene.size("log"), scene.counts()),
            (Some(1_000), (5, 1)),
            "no line is longer than the file may be"
        );
    }

    #[test]
    fn lines_that_come_together_keep_the_size_too() {
        let mut scene = Scene::new("log", 1_000);
        for _ in 0..7 {
            scene.writer.add(&record(300));
        }
        scene.writer.flush();
        assert_eq!((scene.size("log"), scene.size("log.1")), (Some(300), Some(900)));
        assert_eq!(scene.counts(), (7, 0));
    }

    #[test]
    fn a_missing_directory_costs_lines_until_it_appears() {
        let mut scene = Scene::new("logs/log", 1_000);
        scene.write(300);
        scene.write(300);
        assert_eq!(scene.counts(), (0, 2));
        assert!(scene.writer.counts.trouble.lock().as_ref().is_some_and(|trouble| trouble.contains("logs/log: ")));
        fs::create_dir(scene.dir.path().join("logs")).unwrap();
        scene.write(300);
        assert_eq!((scene.counts(), scene.size("logs/log")), ((1, 2), Some(300)));
        assert_eq!(*scene.writer.counts.trouble.lock(), None);
    }

    #[test]
    fn after_a_failure_nothing_is_tried_for_a_while() {
        let mut scene = Scene::new("logs/log", 1_000);
        scene.writer.rest = Duration::from_secs(3_600);
        scene.write(300);
        fs::create_dir(scene.dir.path().join("logs")).unwrap();
        scene.write(300);
        assert_eq!((scene.counts(), scene.size("logs/log")), ((0, 2), None));
    }

    #[test]
    fn half_a_line_of_an_earlier_process_stays_a_line_of_its_own() {
        let mut scene = Scene::new("log", 1_000);
        fs::write(scene.dir.path().join("log"), "{\"at_ms\":1,\"ki").unwrap();
        scene.write(300);
        let text = fs::read_to_string(scene.dir.path().join("log")).unwrap();
        assert_eq!((text.lines().count(), text.len()), (2, 315));
        assert!(serde_json::from_str::<serde_json::Value>(text.lines().last().unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let mut scene = Scene::new("log", 1_000);
        fs::create_dir(scene.dir.path().join("log")).unwrap();
        scene.write(300);
        assert_eq!(scene.counts(), (0, 1));
        assert!(scene.dir.path().join("log").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let mut scene = Scene::new("log", 1_000);
        scene.write(300);
        let mode = fs::metadata(scene.dir.path().join("log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}
