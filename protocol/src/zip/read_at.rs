//! Bytes that can be read at any place: what a zip is read from.
//!
//! A zip is read from its end and then entry by entry on several cores, so a stream would not do. Nothing here keeps a
//! position, so one value serves all threads. Writing and sharing across processes are no concern of this file.

use std::fs::File;
use std::io;

/// Bytes of known length that several threads may read at once.
pub trait ReadAt: Sync {
    /// The number of bytes there are. It must not change while a zip is being judged.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the bytes end before `buf` is full, otherwise whatever the medium reports.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file, read with `pread`; its length is taken once, when it is wrapped.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    len: u64,
}

impl FileAt {
    /// Wraps an open file.
    ///
    /// # Errors
    /// When the file's length cannot be learned.
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl ReadAt for FileAt {
    fn len(&self) -> u64 {
        self.len
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = &mut buf[count..];
            offset += count as u64;
        }
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buf.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

/// A stretch of the bytes, with the arithmetic of Go's `io.SectionReader`: offsets are signed, a length that does not
/// fit means "to the end", and what lies beyond the last byte is simply not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    next: i64,
    limit: i64,
}

/// Why a section gave no bytes.
#[derive(Debug)]
pub(super) enum SectionError {
    /// The section begins before the first byte.
    BeforeStart,
    /// The medium failed.
    Io(io::Error),
}

impl Section {
    pub(super) fn new(offset: i64, length: i64) -> Self {
        let fits = offset <= i64::MAX.wrapping_sub(length);
        let limit = if fits {
            length.wrapping_add(offset)
        } else {
            i64::MAX
        };
        Self {
            next: offset,
            limit,
        }
    }

    /// Where the next byte comes from.
    pub(super) fn position(&self) -> i64 {
        self.next
    }

    /// Reads up to `buf.len()` bytes; fewer only where the section or the bytes end.
    pub(super) fn read(
        &mut self,
        bytes: &dyn ReadAt,
        buf: &mut [u8],
    ) -> Result<usize, SectionError> {
        if self.next >= self.limit || buf.is_empty() {
            return Ok(0);
        }
        let offset = u64::try_from(self.next).map_err(|_| SectionError::BeforeStart)?;
        let limit = u64::try_from(self.limit).unwrap_or(0).min(bytes.len());
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buf.len());
        if count > 0 {
            bytes
                .read_exact_at(&mut buf[..count], offset)
                .map_err(SectionError::Io)?;
            self.next += count as i64;
        }
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_it_or_the_bytes_end() {
        let bytes = b"0123456789".to_vec();
        let read = |offset, length| {
            let mut buf = [0; 20];
            let count = Section::new(offset, length).read(&bytes, &mut buf).unwrap();
            String::from_utf8(buf[..count].to_vec()).unwrap()
        };
        assert_eq!(read(2, 3), "234");
        assert_eq!(read(8, 100), "89");
        assert_eq!(read(10, 1), "");
        assert_eq!(read(i64::MAX, 16), "");
        assert_eq!(read(7, -1), "789", "Go reads a negative length as no limit");
        assert!(matches!(
            Section::new(-1, 5).read(&bytes, &mut [0; 1]),
            Err(SectionError::BeforeStart)
        ));
    }

    #[test]
    fn a_file_reads_as_the_bytes_it_holds() {
        let path = std::env::temp_dir().join(format!("modmesh-read-at-{}", std::process::id()));
        std::fs::write(&path, b"hello").unwrap();
        let file = FileAt::new(File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut buf = [0; 4];
        file.read_exact_at(&mut buf, 1).unwrap();
        assert_eq!((&buf, file.len()), (b"ello", 5));
        assert!(file.read_exact_at(&mut buf, 2).is_err());
    }
}
