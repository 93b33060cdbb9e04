//! A directory for one test. Its path is short, as Unix sockets want it; when
//! the test does not say that it passed, it is kept under `target/tests/`.

use crate::programs;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The directory; removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
    name: String,
    passed: std::cell::Cell<bool>,
}

impl Scratch {
    /// A new one for the test of this name.
    pub fn new(name: &str) -> Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("ag-").tempdir().context("a directory for the test")?;
        let scratch = Scratch { directory, name: name.to_owned(), passed: false.into() };
        let kept = scratch.kept()?;
        if kept.exists() {
            std::fs::remove_dir_all(kept).context("what the last failure left")?;
        }
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new directory in it that only its owner can enter.
    pub fn private_directory(&self, name: &str) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.path().join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(path)
    }

    /// The test has passed: nothing needs to be kept. Its last words.
    pub fn passed(&self) -> Result<()> {
        self.passed.set(true);
        Ok(())
    }

    fn kept(&self) -> Result<PathBuf> {
        Ok(programs::target()?.join("tests").join(&self.name))
    }

    fn save(&self) -> Result<PathBuf> {
        let kept = self.kept()?;
        copy_files(self.path(), &kept)?;
        Ok(kept)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.passed.get() {
            return;
        }
        match self.save() {
            Ok(kept) => eprintln!("the test's pictures and logs are in {}", kept.display()),
            Err(error) => eprintln!("the test's pictures and logs could not be kept: {error:#}"),
        }
    }
}

/// Copies plain files and directories, and leaves sockets and pipes out.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else if kind.is_file() {
            // A file that goes meanwhile is not worth failing for.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
    Ok(())
}
