//! Compiled components on disk, so that a start compiles nothing.
//!
//! What is loaded here runs as native code, so the directory belongs to this user alone, and every file says by a
//! digest that it is whole. An entry that is anything else is passed over, and its component is compiled again.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The length of the digest that a file begins with.
const DIGEST: usize = 32;
/// What the names of entries end in.
const ENDING: &str = "cwasm";

/// The compiled components of one engine.
pub struct Cache {
    dir: PathBuf,
    /// The most bytes of all entries.
    size: u64,
    /// What the engine compiles for; an entry of another one has another name.
    fingerprint: u64,
    /// The user who may have written entries: this process's.
    user: u32,
}

impl Cache {
    /// The cache in this directory, which is made where it is missing.
    ///
    /// # Errors
    /// One sentence where it cannot be made, or where others may write into it.
    pub fn open(dir: &Path, size: u64, engine: &Engine) -> Result<Self, String> {
        let told = |error: io::Error| format!("[policies] cache: {}: {error}", dir.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(told)?;
        // A file that was just made has the owner that this process gives.
        let probe = dir.join(unique("probe"));
        let user = create(&probe).and_then(|file| file.metadata()).map_err(told)?.uid();
        fs::remove_file(&probe).map_err(told)?;
        let about = fs::metadata(dir).map_err(told)?;
        let why = "and what it holds runs as native code";
        if about.uid() != user {
            return Err(format!(
                "[policies] cache: {}: it belongs to another user, {why}; name another",
                dir.display()
            ));
        }
        if about.mode() & 0o022 != 0 {
            return Err(format!("[policies] cache: {}: others may write into it, {why}; chmod 700 it", dir.display()));
        }
        let mut fingerprint = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        Ok(Self { dir: dir.to_owned(), size, fingerprint: fingerprint.finish(), user })
    }

    /// Whether there is an entry for these contents.
    pub fn has(&self, hash: &str) -> bool {
        self.path(hash).is_file()
    }

    /// The compiled component of these contents, if it is there and whole.
    pub fn load(&self, engine: &Engine, hash: &str) -> Option<Component> {
        let path = self.path(hash);
        let mut file = OpenOptions::new().read(true).open(&path).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || about.uid() != self.user || about.mode() & 0o022 != 0 {
            tracing::warn!(entry = %path.display(), "passed over: others may have written it");
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        let (digest, compiled) = bytes.split_at_checked(DIGEST)?;
        if Sha256::digest(compiled).as_slice() != digest {
            tracing::warn!(entry = %path.display(), "passed over: it is not whole");
            return None;
        }
        let component = deserialize(engine, compiled)?;
        // The oldest are removed first; this one was of use now.
        let _ = file.set_modified(SystemTime::now());
        Some(component)
    }

    /// Keeps a compiled component; where that fails the next start compiles it again.
    pub fn store(&self, hash: &str, component: &Component) {
        let kept = component.serialize().map_err(io::Error::other).and_then(|compiled| self.keep(hash, &compiled));
        if let Err(error) = kept.and_then(|()| self.shrink()) {
            tracing::warn!(dir = %self.dir.display(), %error, "a compiled component was not kept");
        }
    }

    fn keep(&self, hash: &str, compiled: &[u8]) -> io::Result<()> {
        let whole = self.dir.join(unique(hash));
        let written = create(&whole).and_then(|mut file| {
            file.write_all(&Sha256::digest(compiled))?;
            file.write_all(compiled)
        });
        written.and_then(|()| fs::rename(&whole, self.path(hash))).inspect_err(|_| {
            let _ = fs::remove_file(&whole); // half an entry is of no use
        })
    }

    /// Removes what was of no use for longest until the rest fits.
    fn shrink(&self) -> io::Result<()> {
        let mut entries = vec![];
        for entry in fs::read_dir(&self.dir)? {
            let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if path.extension().is_some_and(|ending| ending == ENDING) {
                entries.push((about.modified()?, about.len(), path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        // The newest stays even where it alone is too large.
        entries.pop();
        for (_, size, path) in entries {
            if total <= self.size {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}-{:016x}.{ENDING}", self.fingerprint))
    }
}

/// A name that nobody else makes.
fn unique(about: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".{about}.{}.{}.{ENDING}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[expect(unsafe_code, reason = "200 components compile for 13 s and load from here in a tenth of a second")]
fn deserialize(engine: &Engine, compiled: &[u8]) -> Option<Component> {
    // SAFETY: these bytes came out of `Component::serialize`: they were read from a file that this user owns and that
    // nobody else may write, in a directory of which the same holds, and they have the digest that was written with
    // them. That they fit this engine and this version wasmtime checks itself.
    let component = unsafe { Component::deserialize(engine, compiled) };
    component.inspect_err(|error| tracing::warn!(%error, "a kept component does not fit")).ok()
}
