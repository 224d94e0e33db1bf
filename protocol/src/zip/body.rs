//! The content of one entry.
//!
//! This restates `File.Open`, `findBodyOffset`, `checksumReader` and `readDataDescriptor` of Go's archive/zip together
//! with the way `zip.Unzip` and `dirhash.HashZip` of golang.org/x/mod read from them: to the end, and one byte further than
//! declared. Content passes through two small windows; nothing is ever allocated by a size that the zip declares. On the
//! way it is noted whether the entry is in the canonical form, which Go does not ask for.

use std::sync::atomic::{AtomicU64, Ordering};

use flate2::{Decompress, FlushDecompress, Status};

use super::canonical;
use super::directory::{Entry, Fields};
use super::read_at::{ReadAt, Section, SectionError};
use super::{NotCanonical, ZipError};
use crate::digest::Hasher;

const LOCAL_BYTES: usize = 30;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const DESCRIPTOR_SIGNATURE: [u8; 4] = *b"PK\x07\x08";
const DESCRIPTOR_BYTES: usize = 16;
const PACKED_WINDOW_BYTES: usize = 32 << 10;
const PLAIN_WINDOW_BYTES: usize = 64 << 10;

/// How many packed bytes are read for one zip before it is refused: entries may share the same bytes, so that a small zip
/// could ask for reading without end. A zip whose entries do not overlap cannot come so far. Go has no such bound.
pub const WORK_BYTES_MAX: u64 = super::ZIP_BYTES_MAX;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Reads entries one after the other, with windows of its own: one for each thread.
pub(super) struct BodyReader<'a> {
    bytes: &'a dyn ReadAt,
    work_bytes: &'a AtomicU64,
    inflate: Decompress,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

/// What an entry turned out to hold.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) sha256: [u8; 32],
    /// The first thing about the entry that is not canonical.
    pub(super) canonical: Result<(), NotCanonical>,
}

/// What the content came to, while it passes.
struct Content {
    sha256: Hasher,
    crc: crc32fast::Hasher,
    bytes: u64,
    declared_bytes: u64,
}

impl<'a> BodyReader<'a> {
    /// `work_bytes` is shared by all readers of one zip.
    pub(super) fn new(bytes: &'a dyn ReadAt, work_bytes: &'a AtomicU64) -> Self {
        Self {
            bytes,
            work_bytes,
            inflate: Decompress::new(false),
            packed: vec![0; PACKED_WINDOW_BYTES],
            plain: vec![0; PLAIN_WINDOW_BYTES],
        }
    }

    /// Opens a folder: its local header must be there and it must declare no content, and that is all Go asks.
    pub(super) fn folder(&self, entry: &Entry) -> Result<Body, ZipError> {
        body_start(self.bytes, entry)?;
        if entry.unpacked_bytes != 0 {
            return Err(ZipError::Format("a folder with content"));
        }
        Ok(Body {
            sha256: Hasher::new().finish(),
            canonical: Err(NotCanonical::Folder),
        })
    }

    /// Reads a file to its end.
    pub(super) fn file(&mut self, entry: &Entry, name: &str) -> Result<Body, ZipError> {
        let start = body_start(self.bytes, entry)?;
        let packed_bytes = entry.packed_bytes as i64;
        let mut section = Section::new(start, packed_bytes);
        let mut content = Content {
            sha256: Hasher::new(),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            declared_bytes: entry.unpacked_bytes,
        };
        let consumed = match entry.method {
            STORED => self.copy(&mut section, &mut content)?,
            DEFLATED => self.inflate(&mut section, &mut content)?,
            method => return Err(ZipError::Method(method)),
        };
        if content.bytes != content.declared_bytes {
            return Err(ZipError::Size);
        }
        let crc = content.crc.finalize();
        let descriptor_start = start.wrapping_add(packed_bytes);
        if entry.has_descriptor() {
            self.descriptor(descriptor_start, entry.crc)?;
        }
        // Without a descriptor Go takes a CRC-32 of zero for one that was never set.
        if crc != entry.crc && (entry.has_descriptor() || entry.crc != 0) {
            return Err(ZipError::Checksum);
        }
        Ok(Body {
            sha256: content.sha256.finish(),
            canonical: canonical::check_entry(self.bytes, entry, name, crc, consumed)?,
        })
    }

    fn copy(&mut self, section: &mut Section, content: &mut Content) -> Result<u64, ZipError> {
        let mut consumed = 0;
        loop {
            let count = section.read(self.bytes, &mut self.packed)?;
            if count == 0 {
                return Ok(consumed);
            }
            consumed += count as u64;
            self.spend(count)?;
            content.add(self.packed.get(..count).unwrap_or_default())?;
        }
    }

    /// Inflates to the end of the stream. What follows it in the section is ignored, as Go does; the bytes that the stream
    /// took are returned.
    fn inflate(&mut self, section: &mut Section, content: &mut Content) -> Result<u64, ZipError> {
        self.inflate.reset(false);
        let (mut start, mut end) = (0, 0);
        loop {
            if start == end {
                end = section.read(self.bytes, &mut self.packed)?;
                start = 0;
                self.spend(end)?;
            }
            let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(
                    self.packed.get(start..end).unwrap_or_default(),
                    &mut self.plain,
                    FlushDecompress::None,
                )
                .map_err(|_| ZipError::Deflate)?;
            let taken = (self.inflate.total_in() - taken) as usize;
            let given = (self.inflate.total_out() - given) as usize;
            start += taken;
            content.add(self.plain.get(..given).unwrap_or_default())?;
            if status == Status::StreamEnd {
                return Ok(self.inflate.total_in());
            }
            if taken == 0 && given == 0 {
                return Err(ZipError::Deflate); // The section ends before the stream does.
            }
        }
    }

    /// Reads the CRC-32 that follows the content, with or without a signature before it. Sixteen bytes are looked at with
    /// the signature, twelve without; the sizes in them are not.
    fn descriptor(&mut self, start: i64, crc: u32) -> Result<(), ZipError> {
        let mut section = Section::new(start, DESCRIPTOR_BYTES as i64);
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        let count = section.read(self.bytes, &mut descriptor)?;
        let signed = descriptor.starts_with(&DESCRIPTOR_SIGNATURE);
        let (needed, at) = if signed { (16, 4) } else { (12, 0) };
        if count < needed {
            return Err(ZipError::Format("a data descriptor is cut off"));
        }
        if Fields(&descriptor).u32(at) != crc {
            return Err(ZipError::Checksum);
        }
        Ok(())
    }

    fn spend(&self, count: usize) -> Result<(), ZipError> {
        let before = self.work_bytes.fetch_add(count as u64, Ordering::Relaxed);
        if before > WORK_BYTES_MAX {
            return Err(ZipError::TooMuchWork);
        }
        Ok(())
    }
}

impl Content {
    fn add(&mut self, plain: &[u8]) -> Result<(), ZipError> {
        self.bytes += plain.len() as u64;
        if self.bytes > self.declared_bytes {
            return Err(ZipError::Size);
        }
        self.sha256.update(plain);
        self.crc.update(plain);
        Ok(())
    }
}

/// Where the content begins: after a local header of which only the signature and two lengths count.
fn body_start(bytes: &dyn ReadAt, entry: &Entry) -> Result<i64, ZipError> {
    let mut header = [0; LOCAL_BYTES];
    let mut section = Section::new(entry.header_offset, LOCAL_BYTES as i64);
    if section.read(bytes, &mut header)? < LOCAL_BYTES {
        return Err(ZipError::Format("a local header is cut off"));
    }
    let header = Fields(&header);
    if header.u32(0) != LOCAL_SIGNATURE {
        return Err(ZipError::Format("no local header where one is due"));
    }
    Ok(section.position() + i64::from(header.u16(26)) + i64::from(header.u16(28)))
}

impl From<SectionError> for ZipError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::BeforeStart => Self::Format("an offset before the first byte"),
            SectionError::Io(error) => Self::Io(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_when_the_zip_has_had_its_share() {
        let spent = AtomicU64::new(WORK_BYTES_MAX);
        let bytes = Vec::new();
        let reader = BodyReader::new(&bytes, &spent);
        reader.spend(1).unwrap();
        assert!(matches!(reader.spend(1), Err(ZipError::TooMuchWork)));
    }
}
