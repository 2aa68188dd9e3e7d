//! From bytes to a component: on a thread of its own, so that one which takes long holds nobody up, and not at all where
//! the cache has the result.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidegate_core::config::PoliciesConfig;
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::ComponentEncoder;

use super::cache::Cache;
use crate::engines::Progress;
use crate::files::hash;

/// Compiled components that nobody loaded yet, at most.
const AHEAD: usize = 8;

type Compiled = Result<Component, String>;

/// The bytes of a component with their hash, which takes a third of a start.
pub struct Binary<'a> {
    bytes: &'a [u8],
    hash: Cow<'a, str>,
}

impl<'a> Binary<'a> {
    /// Bytes whose SHA-256 is known already.
    pub fn hashed(bytes: &'a [u8], hash: &'a str) -> Self {
        Self { bytes, hash: hash.into() }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Binary<'a> {
    fn from(bytes: &'a T) -> Self {
        Self { bytes: bytes.as_ref(), hash: hash(bytes.as_ref()).into() }
    }
}

/// Compiles components.
pub struct Compiler(Arc<Shared>);

struct Shared {
    engine: Engine,
    cache: Option<Cache>,
    jobs: Mutex<Vec<Job>>,
    done: Condvar,
}

/// A compilation that runs, or whose result nobody took yet.
struct Job {
    hash: String,
    result: Option<Compiled>,
}

impl Compiler {
    /// A compiler with the cache of the configuration; one that cannot be used costs each start its compilations.
    pub fn new(engine: Engine, config: &PoliciesConfig) -> Self {
        let cache = config.cache.as_ref().and_then(|dir| {
            let opened = Cache::open(dir, config.cache_size, &engine);
            opened.inspect_err(|error| tracing::warn!("{error}; until a restart every start compiles anew")).ok()
        });
        Self(Arc::new(Shared { engine, cache, jobs: Mutex::default(), done: Condvar::new() }))
    }

    /// The engine that components run on.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The component in these bytes.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are.
    pub fn component(&self, Binary { bytes, hash }: &Binary<'_>) -> Compiled {
        if !self.0.runs(hash)
            && let Some(found) = self.0.cached(hash)
        {
            return Ok(found);
        }
        loop {
            self.begin(hash, bytes)?;
            // Unless another took it.
            if let Some(compiled) = self.0.take(hash) {
                return compiled;
            }
        }
    }

    /// Sees to it that a component is there at once when it is loaded, and waits for that so long at most.
    pub fn prepare(&self, patience: Duration, Binary { bytes, hash }: &Binary<'_>) -> Progress {
        let until = Instant::now() + patience;
        if !self.0.runs(hash) && self.0.cache.as_ref().is_some_and(|cache| cache.has(hash)) {
            return Progress::Ready;
        }
        match self.begin(hash, bytes) {
            // One that cannot begin fails at once when it is loaded.
            Err(_) => Progress::Ready,
            Ok(_) if self.0.wait(hash, until) => Progress::Ready,
            Ok(begun) => {
                if begun {
                    Progress::Begun
                } else {
                    Progress::UnderWay
                }
            }
        }
    }

    /// Waits while the component of this hash is compiled.
    pub fn wait(&self, hash: &str) {
        let mut jobs = self.0.jobs.lock();
        while is_running(&jobs, hash) {
            self.0.done.wait(&mut jobs);
        }
    }

    /// Compiles a component, unless that is under way or done; whether it begins now.
    fn begin(&self, hash: &str, bytes: &[u8]) -> Result<bool, String> {
        let mut jobs = self.0.jobs.lock();
        if jobs.iter().any(|job| job.hash == hash) {
            return Ok(false);
        }
        let (shared, hash, bytes) = (Arc::clone(&self.0), hash.to_owned(), bytes.to_vec());
        let job = Job { hash: hash.clone(), result: None };
        let compile = move || {
            let compiled = catch_unwind(AssertUnwindSafe(|| shared.compile(&hash, &bytes)));
            shared.finish(&hash, compiled.unwrap_or_else(|_| Err("its compiler panicked".to_owned())));
        };
        let started = thread::Builder::new().name("tidegate-compile".to_owned()).spawn(compile);
        started.map_err(|error| format!("no thread to compile it on: {error}"))?;
        jobs.push(job);
        Ok(true)
    }
}

fn is_running(jobs: &[Job], hash: &str) -> bool {
    jobs.iter().any(|job| job.hash == hash && job.result.is_none())
}

impl Shared {
    fn runs(&self, hash: &str) -> bool {
        self.jobs.lock().iter().any(|job| job.hash == hash)
    }

    fn cached(&self, hash: &str) -> Option<Component> {
        self.cache.as_ref().and_then(|cache| cache.load(&self.engine, hash))
    }

    fn compile(&self, hash: &str, bytes: &[u8]) -> Compiled {
        let encoded = as_component(bytes)?;
        let component = Component::new(&self.engine, encoded.as_deref().unwrap_or(bytes))
            .map_err(|error| format!("is not a component that can run here: {error:#}"))?;
        if let Some(cache) = &self.cache {
            cache.store(hash, &component);
        }
        Ok(component)
    }

    fn finish(&self, hash: &str, compiled: Compiled) {
        let mut jobs = self.jobs.lock();
        let waiting: Vec<_> = jobs.iter().filter(|job| job.result.is_some()).map(|job| job.hash.clone()).collect();
        if waiting.len() >= AHEAD {
            jobs.retain(|job| job.hash != waiting[0]);
        }
        if let Some(job) = jobs.iter_mut().find(|job| job.hash == hash) {
            job.result = Some(compiled);
        }
        drop(jobs);
        self.done.notify_all();
    }

    /// Whether it is done by then.
    fn wait(&self, hash: &str, until: Instant) -> bool {
        let mut jobs = self.jobs.lock();
        while is_running(&jobs, hash) {
            if self.done.wait_until(&mut jobs, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// The result, once it is there.
    fn take(&self, hash: &str) -> Option<Compiled> {
        let mut jobs = self.jobs.lock();
        loop {
            let at = jobs.iter().position(|job| job.hash == hash)?;
            if jobs[at].result.is_some() {
                return jobs.remove(at).result;
            }
            self.done.wait(&mut jobs);
        }
    }
}

/// The component made of a core module; `None` where the bytes are a component already.
fn as_component(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
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
        _ => Err("expected a Wasm component; the bytes do not begin as one".to_owned()),
    }
}
