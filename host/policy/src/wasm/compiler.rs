//! Compiles components in a background thread, so that a long compilation delays nothing else. A component that is in
//! the cache is not compiled.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidegate_core::config::PoliciesConfig;
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::ComponentEncoder;

use super::cache::ComponentCache;
use crate::compile_progress::CompileProgress;
use crate::files::hash;

/// The maximum number of compiled components that wait to be loaded.
const MAX_UNCLAIMED: usize = 8;

type CompileResult = Result<Component, String>;

/// The bytes of a Wasm file, with their hash. The hash is kept, because computing it takes a third of the start time.
pub struct WasmBinary<'a> {
    bytes: &'a [u8],
    hash: Cow<'a, str>,
}

impl fmt::Debug for WasmBinary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmBinary").field("size", &self.bytes.len()).field("hash", &self.hash).finish()
    }
}

impl<'a> WasmBinary<'a> {
    /// Creates a binary and computes its SHA-256.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, hash: hash(bytes).into() }
    }

    /// Creates a binary whose SHA-256 is known.
    pub fn hashed(bytes: &'a [u8], hash: &'a str) -> Self {
        Self { bytes, hash: hash.into() }
    }
}

/// Compiles components.
pub struct Compiler(Arc<CompilerInner>);

struct CompilerInner {
    engine: Engine,
    cache: Option<ComponentCache>,
    jobs: Mutex<Vec<CompileJob>>,
    done: Condvar,
}

/// A compilation that runs, or whose result was not taken yet.
struct CompileJob {
    hash: String,
    result: Option<CompileResult>,
}

impl Compiler {
    /// Creates a compiler with the configured cache. Without a usable cache, every start compiles all components.
    pub fn new(engine: Engine, config: &PoliciesConfig) -> Self {
        let cache = config.cache.as_ref().and_then(|dir| {
            let opened = ComponentCache::open(dir, config.cache_size, &engine);
            opened.inspect_err(|error| tracing::warn!(%error, "component cache disabled until restart")).ok()
        });
        Self(Arc::new(CompilerInner { engine, cache, jobs: Mutex::default(), done: Condvar::new() }))
    }

    /// Returns the compiled component of a binary.
    ///
    /// # Errors
    /// Returns a message with the expected and the actual format of the bytes.
    pub fn component(&self, WasmBinary { bytes, hash }: &WasmBinary<'_>) -> CompileResult {
        if !self.0.has_job(hash)
            && let Some(component) = self.0.load_cached(hash)
        {
            return Ok(component);
        }
        loop {
            self.start(hash, bytes)?;
            // Another thread may have taken the result.
            if let Some(result) = self.0.take_result(hash) {
                return result;
            }
        }
    }

    /// Compiles a component before it is loaded, and waits at most `timeout` for the result.
    pub fn prepare(&self, timeout: Duration, WasmBinary { bytes, hash }: &WasmBinary<'_>) -> CompileProgress {
        let until = Instant::now() + timeout;
        if !self.0.has_job(hash) && self.0.cache.as_ref().is_some_and(|cache| cache.has(hash)) {
            return CompileProgress::Ready;
        }
        match self.start(hash, bytes) {
            // If the compilation cannot start, loading fails without delay.
            Err(_) => CompileProgress::Ready,
            Ok(_) if self.0.wait_until(hash, until) => CompileProgress::Ready,
            Ok(started) => {
                if started {
                    CompileProgress::Started
                } else {
                    CompileProgress::InProgress
                }
            }
        }
    }

    /// Waits while the component with this hash is compiled.
    pub fn wait(&self, hash: &str) {
        let mut jobs = self.0.jobs.lock();
        while is_running(&jobs, hash) {
            self.0.done.wait(&mut jobs);
        }
    }

    /// Starts the compilation of a component, unless it was started before. Returns whether this call started it.
    fn start(&self, hash: &str, bytes: &[u8]) -> Result<bool, String> {
        let mut jobs = self.0.jobs.lock();
        if jobs.iter().any(|job| job.hash == hash) {
            return Ok(false);
        }
        let (inner, hash, bytes) = (Arc::clone(&self.0), hash.to_owned(), bytes.to_vec());
        let job = CompileJob { hash: hash.clone(), result: None };
        let compile = move || {
            let result = catch_unwind(AssertUnwindSafe(|| inner.compile(&hash, &bytes)));
            inner.finish(&hash, result.unwrap_or_else(|_| Err("the Wasm compiler panicked".to_owned())));
        };
        let spawned = thread::Builder::new().name("tidegate-compile".to_owned()).spawn(compile);
        spawned.map_err(|error| format!("cannot start a compiler thread: {error}"))?;
        jobs.push(job);
        Ok(true)
    }
}

fn is_running(jobs: &[CompileJob], hash: &str) -> bool {
    jobs.iter().any(|job| job.hash == hash && job.result.is_none())
}

impl CompilerInner {
    fn has_job(&self, hash: &str) -> bool {
        self.jobs.lock().iter().any(|job| job.hash == hash)
    }

    fn load_cached(&self, hash: &str) -> Option<Component> {
        self.cache.as_ref().and_then(|cache| cache.load(&self.engine, hash))
    }

    fn compile(&self, hash: &str, bytes: &[u8]) -> CompileResult {
        let encoded = encode_component(bytes)?;
        let component = Component::new(&self.engine, encoded.as_deref().unwrap_or(bytes))
            .map_err(|error| format!("cannot load the component: {error:#}"))?;
        if let Some(cache) = &self.cache {
            cache.store(hash, &component);
        }
        Ok(component)
    }

    fn finish(&self, hash: &str, result: CompileResult) {
        let mut jobs = self.jobs.lock();
        let unclaimed: Vec<_> = jobs.iter().filter(|job| job.result.is_some()).map(|job| job.hash.clone()).collect();
        if unclaimed.len() >= MAX_UNCLAIMED {
            jobs.retain(|job| job.hash != unclaimed[0]);
        }
        if let Some(job) = jobs.iter_mut().find(|job| job.hash == hash) {
            job.result = Some(result);
        }
        drop(jobs);
        self.done.notify_all();
    }

    /// Waits until the compilation is done. Returns `false` if it is not done at `until`.
    fn wait_until(&self, hash: &str, until: Instant) -> bool {
        let mut jobs = self.jobs.lock();
        while is_running(&jobs, hash) {
            if self.done.wait_until(&mut jobs, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// Waits for the result of a compilation and takes it. Returns `None` if there is no such job.
    fn take_result(&self, hash: &str) -> Option<CompileResult> {
        let mut jobs = self.jobs.lock();
        loop {
            let index = jobs.iter().position(|job| job.hash == hash)?;
            if jobs[index].result.is_some() {
                return jobs.remove(index).result;
            }
            self.done.wait(&mut jobs);
        }
    }
}

/// Encodes a core module as a component. Returns `None` if the bytes are a component already.
fn encode_component(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(None),
        Some(b"\0asm\x01\0\0\0") => ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|mut encoder| encoder.encode())
            .map(Some)
            .map_err(|error| {
                format!("expected a Wasm component, or a core module with a component's metadata: {error:#}")
            }),
        _ => Err("expected a Wasm component; the file does not start with a Wasm header".to_owned()),
    }
}
