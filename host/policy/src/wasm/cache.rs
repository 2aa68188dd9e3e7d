//! The disk cache of compiled components, so that a start does not compile them again.
//!
//! A cache entry is loaded as native code. Therefore the directory must belong to this user only, and every file has a
//! digest of its content. An entry that fails a check is ignored, and its component is compiled again.

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

/// The size of the digest at the start of a file, in bytes.
const DIGEST_SIZE: usize = 32;
/// The file extension of cache entries.
const EXTENSION: &str = "cwasm";

/// The compiled components of one engine.
pub struct ComponentCache {
    dir: PathBuf,
    /// The maximum size of all entries, in bytes.
    max_size: u64,
    /// Identifies the engine's compilation settings. It is part of an entry's name.
    fingerprint: u64,
    /// The user ID of this process. Entries of other users are ignored.
    user: u32,
}

impl ComponentCache {
    /// Opens the cache in a directory, and creates the directory if it is missing.
    ///
    /// # Errors
    /// Returns a message if the directory cannot be created, or if other users may write to it.
    pub fn open(dir: &Path, max_size: u64, engine: &Engine) -> Result<Self, String> {
        let prefix = format!("[policies] cache: {}", dir.display());
        let io_error = |error: io::Error| format!("{prefix}: {error}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error)?;
        // A new file belongs to the user of this process.
        let probe = dir.join(temporary_name("probe"));
        let user = create(&probe).and_then(|file| file.metadata()).map_err(io_error)?.uid();
        fs::remove_file(&probe).map_err(io_error)?;
        let metadata = fs::metadata(dir).map_err(io_error)?;
        let risk = "and its content runs as native code";
        if metadata.uid() != user {
            return Err(format!("{prefix}: the directory belongs to another user, {risk}; use another directory"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(format!("{prefix}: other users may write to the directory, {risk}; run `chmod 700` on it"));
        }
        let mut fingerprint = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut fingerprint);
        Ok(Self { dir: dir.to_owned(), max_size, fingerprint: fingerprint.finish(), user })
    }

    /// Whether there is an entry for the component with this hash.
    pub fn has(&self, hash: &str) -> bool {
        self.path(hash).is_file()
    }

    /// Loads the compiled component with this hash, if there is a valid entry.
    pub fn load(&self, engine: &Engine, hash: &str) -> Option<Component> {
        let path = self.path(hash);
        let mut file = OpenOptions::new().read(true).open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.uid() != self.user || metadata.mode() & 0o022 != 0 {
            let reason = "not a regular file of this user, or writable by others";
            tracing::warn!(entry = %path.display(), reason, "cache entry ignored");
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        let (digest, compiled) = bytes.split_at_checked(DIGEST_SIZE)?;
        if Sha256::digest(compiled).as_slice() != digest {
            tracing::warn!(entry = %path.display(), reason = "digest mismatch", "cache entry ignored");
            return None;
        }
        let component = deserialize(engine, compiled, &path)?;
        // The least recently used entries are removed first, and this one was used now.
        let _ = file.set_modified(SystemTime::now());
        Some(component)
    }

    /// Stores a compiled component. If this fails, the next start compiles it again.
    pub fn store(&self, hash: &str, component: &Component) {
        let stored = component.serialize().map_err(io::Error::other).and_then(|compiled| self.write(hash, &compiled));
        if let Err(error) = stored.and_then(|()| self.shrink()) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot store a compiled component");
        }
    }

    fn write(&self, hash: &str, compiled: &[u8]) -> io::Result<()> {
        let temporary = self.dir.join(temporary_name(hash));
        let written = create(&temporary).and_then(|mut file| {
            file.write_all(&Sha256::digest(compiled))?;
            file.write_all(compiled)
        });
        written.and_then(|()| fs::rename(&temporary, self.path(hash))).inspect_err(|_| {
            let _ = fs::remove_file(&temporary); // an incomplete entry is of no use
        })
    }

    /// Removes the least recently used entries until the rest fits.
    fn shrink(&self) -> io::Result<()> {
        let mut entries = vec![];
        for entry in fs::read_dir(&self.dir)? {
            let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                entries.push((metadata.modified()?, metadata.len(), path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        // The newest entry stays, even if it alone is too large.
        entries.pop();
        for (_, size, path) in entries {
            if total <= self.max_size {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}-{:016x}.{EXTENSION}", self.fingerprint))
    }
}

/// Returns a file name that no other process or thread uses.
fn temporary_name(label: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".{label}.{}.{}.{EXTENSION}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[expect(unsafe_code, reason = "200 components compile for 13 s and load from here in a tenth of a second")]
fn deserialize(engine: &Engine, compiled: &[u8], path: &Path) -> Option<Component> {
    // SAFETY: these bytes came out of `Component::serialize`: they were read from a file that this user owns and that
    // no other user may write, in a directory with the same restrictions, and they have the digest that was written
    // with them. Wasmtime itself checks that they fit this engine and this version.
    let component = unsafe { Component::deserialize(engine, compiled) };
    component.inspect_err(|error| tracing::warn!(entry = %path.display(), %error, "cache entry ignored")).ok()
}
