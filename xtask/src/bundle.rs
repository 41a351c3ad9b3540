//! The folder that the backend embeds: files named by their content, each with its compressed siblings.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Where hashed files live; the backend lets browsers keep them for ever.
const ASSETS: &str = "assets";

/// Brotli's strongest setting: the files are packed once and sent often.
const BROTLI_QUALITY: u32 = 11;
/// Brotli's largest window, as a power of two bytes.
const BROTLI_WINDOW: u32 = 24;

/// A folder under construction.
pub struct Bundle {
    folder: PathBuf,
    files: Vec<Written>,
}

/// What became of one file.
pub struct Written {
    /// The name before hashing, such as `style.css`.
    pub name: String,
    /// Bytes as they are.
    pub raw_bytes: usize,
    /// Bytes after brotli; the raw size where compressing is pointless.
    pub brotli_bytes: usize,
}

impl Bundle {
    /// An empty folder in place of what was there.
    pub fn create(folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("clearing {}", folder.display()))?;
        }
        fs::create_dir_all(folder.join(ASSETS))
            .with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: Vec::new(),
        })
    }

    /// Writes an asset under a name that changes with its content, and returns the address it is served at.
    pub fn asset(&mut self, name: &str, content: &[u8]) -> Result<String> {
        let (stem, extension) = name
            .rsplit_once('.')
            .context("an asset's name has an extension")?;
        let hash: String = Sha256::digest(content)
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = format!("{ASSETS}/{stem}-{hash}.{extension}");
        self.write(name, &path, content)?;
        Ok(format!("/{path}"))
    }

    /// Writes a file under its own name.
    pub fn page(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.write(name, name, content)
    }

    /// What was written, in order.
    pub fn files(&self) -> &[Written] {
        &self.files
    }

    fn write(&mut self, name: &str, path: &str, content: &[u8]) -> Result<()> {
        let put = |suffix: &str, bytes: &[u8]| {
            let file = self.folder.join(format!("{path}{suffix}"));
            fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))
        };
        put("", content)?;
        let mut brotli_bytes = content.len();
        // A woff2 font is brotli inside already.
        if !name.ends_with(".woff2") {
            let packed = brotli(content)?;
            brotli_bytes = packed.len();
            put(".br", &packed)?;
            put(".gz", &gzip(content)?)?;
        }
        self.files.push(Written {
            name: name.to_owned(),
            raw_bytes: content.len(),
            brotli_bytes,
        });
        Ok(())
    }
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    let mut writer =
        brotli::CompressorWriter::new(&mut packed, 1 << 16, BROTLI_QUALITY, BROTLI_WINDOW);
    writer.write_all(content)?;
    drop(writer);
    Ok(packed)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(content)?;
    Ok(writer.finish()?)
}
