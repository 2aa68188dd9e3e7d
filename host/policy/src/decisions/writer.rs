//! Writes the decision log in a background thread. The thread collects lines while more of them arrive, writes them
//! together, and rotates the file when it is full.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tidegate_core::{Clock, Timestamp};

use super::counts::LogCounts;
use super::record::DecisionRecord;

/// The maximum size of lines that are written together, in bytes.
const MAX_CHUNK_SIZE: u64 = 64 << 10;
/// How long to wait after a failure before the next attempt. A disk that is full stays full for a while.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a file is kept open. It is opened again after that, so that a new file is created if the old one was moved
/// or removed.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Writes decisions to a file.
pub struct LogWriter {
    path: PathBuf,
    max_size: u64,
    counts: Arc<LogCounts>,
    clock: Arc<dyn Clock>,
    open: Option<OpenFile>,
    /// The complete lines that are still to be written.
    lines: Vec<u8>,
    /// The number of these lines.
    line_count: u64,
    /// When the last attempt failed. `None` if it succeeded.
    failed_at: Option<Timestamp>,
}

struct OpenFile {
    file: File,
    size: u64,
    /// Whether the file ends within a line, because a process was killed or the disk was full.
    has_partial_line: bool,
    opened_at: Timestamp,
}

impl LogWriter {
    pub fn new(path: PathBuf, max_size: u64, counts: Arc<LogCounts>, clock: Arc<dyn Clock>) -> Self {
        Self { path, max_size, counts, clock, open: None, lines: Vec::new(), line_count: 0, failed_at: None }
    }

    /// Writes all records until the channel closes.
    pub fn run(mut self, records: &Receiver<DecisionRecord>) {
        while let Ok(record) = records.recv() {
            self.add(&record);
            while let Ok(record) = records.try_recv() {
                self.add(&record);
            }
            self.flush();
        }
    }

    fn add(&mut self, record: &DecisionRecord) {
        let before = self.lines.len();
        let result = record.write(&mut self.lines);
        let line_size = (self.lines.len() - before) as u64;
        if result.is_err() || line_size > self.max_size {
            self.lines.truncate(before);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if before as u64 + line_size > MAX_CHUNK_SIZE.min(self.max_size) {
            let last = self.lines.split_off(before);
            self.flush();
            self.lines = last;
        }
        self.line_count += 1;
    }

    /// Writes the lines. Lines that cannot be written are dropped and counted.
    fn flush(&mut self) {
        let count = std::mem::take(&mut self.line_count);
        if count == 0 {
            return;
        }
        let is_delayed = self.failed_at.is_some_and(|failed_at| self.clock.now() - failed_at < RETRY_DELAY);
        let result = if is_delayed { None } else { Some(self.write()) };
        self.lines.clear();
        if !matches!(result, Some(Ok(()))) {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
        match result {
            None => {}
            Some(Err(error)) => self.record_failure(&error),
            Some(Ok(())) => {
                self.counts.written.fetch_add(count, Ordering::Relaxed);
                if self.failed_at.take().is_some() {
                    *self.counts.error.lock() = None;
                    tracing::info!(file = %self.path.display(), "decision log recovered");
                }
            }
        }
    }

    /// Records a failure. Logs it only if the previous attempt succeeded.
    fn record_failure(&mut self, error: &io::Error) {
        self.open = None;
        if self.failed_at.replace(self.clock.now()).is_none() {
            tracing::warn!(file = %self.path.display(), %error, "cannot write the decision log, dropping decisions");
        }
        *self.counts.error.lock() = Some(format!("{}: {error}", self.path.display()));
    }

    fn write(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let open = self.open.take().filter(|open| now - open.opened_at < REOPEN_INTERVAL);
        let mut open = open.map_or_else(|| OpenFile::open(&self.path, now), Ok)?;
        let added = self.lines.len() as u64 + u64::from(open.has_partial_line);
        if open.size > 0 && open.size + added > self.max_size {
            drop(open);
            fs::rename(&self.path, rotated_path(&self.path))?;
            open = OpenFile::open(&self.path, now)?;
        }
        if std::mem::take(&mut open.has_partial_line) {
            open.file.write_all(b"\n")?;
            open.size += 1;
        }
        open.file.write_all(&self.lines)?;
        open.size += self.lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }
}

impl OpenFile {
    fn open(path: &Path, now: Timestamp) -> io::Result<Self> {
        // Renaming a device or a pipe would do harm, and opening one may block forever.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other("expected a regular file or a path that does not exist"));
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        // The log contains platforms' responses about their users, so only the owner may read it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let size = file.metadata()?.len();
        let mut last_byte = *b"\n";
        if size > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last_byte)?;
        }
        Ok(Self { file, size, has_partial_line: last_byte != *b"\n", opened_at: now })
    }
}

/// Returns the path of the previous file.
fn rotated_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use tidegate_core::{Failure, ManualClock, Verdict};

    use super::super::record::{LoggedDecision, PolicyId};
    use super::super::recording_view::ViewReads;
    use super::*;

    /// Returns a decision whose line has exactly this many bytes.
    fn record(bytes: usize) -> DecisionRecord {
        let with_message = |message: String| {
            let failure = Failure::default().with_message(message);
            let id = PolicyId { path: "retry/x.rhai".into(), rule: None, generation: 1 };
            let decision = LoggedDecision::Retry(failure, Ok(Verdict::abstain()));
            DecisionRecord { at_ms: 1, id, decision, reads: ViewReads::default(), took_ns: 1 }
        };
        let mut line = Vec::new();
        with_message(String::new()).write(&mut line).unwrap();
        with_message("x".repeat(bytes.checked_sub(line.len()).expect("a line has at least this size")))
    }

    struct TestLog {
        dir: tempfile::TempDir,
        writer: LogWriter,
        clock: Arc<ManualClock>,
    }

    impl TestLog {
        fn new(path: &str, max_size: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::default());
            let writer = LogWriter::new(dir.path().join(path), max_size, Arc::default(), Arc::clone(&clock) as _);
            Self { dir, writer, clock }
        }

        /// Writes a line after the retry delay.
        fn write_later(&mut self, bytes: usize) {
            self.clock.advance(Duration::from_millis(1_000));
            self.write(bytes);
        }

        fn write(&mut self, bytes: usize) {
            self.writer.add(&record(bytes));
            self.writer.flush();
        }

        fn size(&self, name: &str) -> Option<u64> {
            fs::metadata(self.dir.path().join(name)).ok().map(|metadata| metadata.len())
        }

        /// Returns the numbers of lines written and dropped.
        fn counts(&self) -> (u64, u64) {
            let counts = &self.writer.counts;
            (counts.written.load(Ordering::Relaxed), counts.dropped.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn file_is_rotated_when_the_next_line_exceeds_its_maximum_size() {
        let mut log = TestLog::new("log", 1_000);
        log.write(400);
        log.write(600);
        assert_eq!((log.size("log"), log.size("log.1")), (Some(1_000), None));
        log.write(300);
        assert_eq!((log.size("log"), log.size("log.1")), (Some(300), Some(1_000)));
        log.write(701);
        assert_eq!((log.size("log"), log.size("log.1")), (Some(701), Some(300)), "the rotated file is replaced");
        log.write(1_000);
        assert_eq!(log.counts(), (5, 0));
        log.write(1_001);
        assert_eq!(
            (log.size("log"), log.counts()),
            (Some(1_000), (5, 1)),
            "a line larger than the maximum file size is dropped"
        );
    }

    #[test]
    fn lines_written_together_respect_the_maximum_size() {
        let mut log = TestLog::new("log", 1_000);
        for _ in 0..7 {
            log.writer.add(&record(300));
        }
        log.writer.flush();
        assert_eq!((log.size("log"), log.size("log.1")), (Some(300), Some(900)));
        assert_eq!(log.counts(), (7, 0));
    }

    #[test]
    fn missing_directory_drops_lines_until_it_exists() {
        let mut log = TestLog::new("logs/log", 1_000);
        log.write(300);
        log.write_later(300);
        assert_eq!(log.counts(), (0, 2));
        assert!(log.writer.counts.error.lock().as_ref().is_some_and(|error| error.contains("logs/log: ")));
        fs::create_dir(log.dir.path().join("logs")).unwrap();
        log.write_later(300);
        assert_eq!((log.counts(), log.size("logs/log")), ((1, 2), Some(300)));
        assert_eq!(*log.writer.counts.error.lock(), None);
    }

    #[test]
    fn no_write_is_attempted_during_the_retry_delay() {
        let mut log = TestLog::new("logs/log", 1_000);
        log.write(300);
        fs::create_dir(log.dir.path().join("logs")).unwrap();
        log.clock.advance(Duration::from_millis(999));
        log.write(300);
        assert_eq!((log.counts(), log.size("logs/log")), ((0, 2), None));
    }

    #[test]
    fn partial_line_of_an_earlier_process_is_terminated() {
        let mut log = TestLog::new("log", 1_000);
        fs::write(log.dir.path().join("log"), "{\"at_ms\":1,\"ki").unwrap();
        log.write(300);
        let text = fs::read_to_string(log.dir.path().join("log")).unwrap();
        assert_eq!((text.lines().count(), text.len()), (2, 315));
        assert!(serde_json::from_str::<serde_json::Value>(text.lines().last().unwrap()).is_ok());
    }

    #[test]
    fn path_that_is_not_a_regular_file_is_not_touched() {
        let mut log = TestLog::new("log", 1_000);
        fs::create_dir(log.dir.path().join("log")).unwrap();
        log.write(300);
        assert_eq!(log.counts(), (0, 1));
        assert!(log.dir.path().join("log").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn log_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let mut log = TestLog::new("log", 1_000);
        log.write(300);
        let mode = fs::metadata(log.dir.path().join("log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}
