//! The cache of compiled components: a start uses cached components, and runs no entry that others could have written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tidegate_core::Failure;
use tidegate_core::config::PoliciesConfig;
use tidegate_policy::Policies;
use tidegate_tests::corpus::HostilePolicy;

use crate::policies::policies_config;

/// A time in the past, since the Unix epoch.
const OLD_TIME: Duration = Duration::from_secs(1_000_000_000);

/// A policy directory with one component, and a cache directory.
struct CacheFixture {
    temp: TempDir,
    config: PoliciesConfig,
}

impl CacheFixture {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("policies");
        fs::create_dir_all(dir.join("retry")).unwrap();
        let cache = temp.path().join("cache");
        let fixture = Self { config: policies_config(&dir).with_cache(cache), temp };
        fixture.save("jd");
        fixture
    }

    /// Saves a valid component as the retry policy of a platform, with different bytes for each platform.
    fn save(&self, platform: &str) {
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/well_behaved.wat");
        let mut bytes = HostilePolicy::read(&guest).unwrap().bytes;
        bytes.extend([0, u8::try_from(platform.len() + 1).unwrap(), u8::try_from(platform.len()).unwrap()]);
        bytes.extend(platform.as_bytes());
        fs::write(self.config.dir.join("retry").join(format!("{platform}.wasm")), bytes).unwrap();
    }

    fn open(&self) -> Arc<Policies> {
        Policies::open(&self.config)
    }

    /// Returns all files in the cache.
    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temp.path().join("cache")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Sets the modification time of the only entry to `OLD_TIME`, so that a later use is visible.
    fn backdated_entry(&self) -> PathBuf {
        let [entry] = &self.entries()[..] else { panic!("{:?}", self.entries()) };
        fs::File::open(entry).unwrap().set_modified(SystemTime::UNIX_EPOCH + OLD_TIME).unwrap();
        entry.clone()
    }
}

/// Returns the modification time of an entry, since the Unix epoch.
fn modified_at(entry: &Path) -> Duration {
    fs::metadata(entry).unwrap().modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// Returns whether the component gives the verdict, whether it was cached or compiled now.
fn component_decides(policies: &Policies) -> bool {
    let failure = Failure::response(200).with_platform("jd");
    &*policies.classify(&failure).policy == "retry/jd.wasm"
}

#[test]
fn second_start_reuses_the_cached_component() {
    let fixture = CacheFixture::new();
    assert!(component_decides(&fixture.open()));
    let (entry, bytes) = (fixture.backdated_entry(), fs::read(fixture.backdated_entry()).unwrap());
    assert!(component_decides(&fixture.open()));
    assert!(modified_at(&entry) > OLD_TIME, "the second start uses the entry");
    assert_eq!(fs::read(&entry).unwrap(), bytes, "the second start does not rewrite the entry");
}

#[test]
fn damaged_entry_is_ignored_and_rewritten() {
    let good = {
        let fixture = CacheFixture::new();
        fixture.open();
        fs::read(fixture.backdated_entry()).unwrap()
    };
    let half = good[..good.len() / 2].to_vec();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [vec![], half, flipped, b"garbage".to_vec()] {
        let fixture = CacheFixture::new();
        fixture.open();
        let entry = fixture.backdated_entry();
        fs::write(&entry, &damaged).unwrap();
        assert!(component_decides(&fixture.open()), "{} bytes", damaged.len());
        assert_eq!(fs::read(&entry).unwrap().len(), good.len(), "{} bytes", damaged.len());
    }
}

#[test]
fn entry_writable_by_others_is_ignored_and_rewritten() {
    let fixture = CacheFixture::new();
    fixture.open();
    let entry = fixture.backdated_entry();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(component_decides(&fixture.open()));
    assert_eq!(
        fs::metadata(&entry).unwrap().permissions().mode() & 0o777,
        0o600,
        "the entry is rewritten with private permissions"
    );
}

#[test]
fn cache_writable_by_others_is_not_used_and_policies_still_load() {
    let fixture = CacheFixture::new();
    fixture.open();
    let entry = fixture.backdated_entry();
    fs::set_permissions(fixture.temp.path().join("cache"), fs::Permissions::from_mode(0o777)).unwrap();
    let policies = fixture.open();
    assert!(component_decides(&policies), "{:?}", policies.status());
    assert_eq!(modified_at(&entry), OLD_TIME, "the entry is not used");
}

#[test]
fn policies_load_when_the_cache_cannot_be_created() {
    let mut fixture = CacheFixture::new();
    let file = fixture.temp.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    fixture.config.cache = Some(file);
    assert!(component_decides(&fixture.open()));
}

#[test]
fn cache_stays_within_its_size_and_leaves_no_partial_files() {
    let mut fixture = CacheFixture::new();
    fixture.open();
    let entry_size = fs::metadata(fixture.backdated_entry()).unwrap().len();
    fixture.config.cache_size = entry_size * 5 / 2;
    for platform in ["tmall", "taobao", "vipshop", "suning"] {
        fixture.save(platform);
        fixture.open();
    }
    let entries = fixture.entries();
    let total: u64 = entries.iter().map(|entry| fs::metadata(entry).unwrap().len()).sum();
    assert!((entry_size..=fixture.config.cache_size).contains(&total), "{total} bytes in {entries:?}");
    assert_eq!(entries.len(), 2, "two entries fit, and no other files remain");
}
