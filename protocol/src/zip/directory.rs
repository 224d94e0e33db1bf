//! The central directory, read as Go reads it.
//!
//! This restates `Reader.init`, `readDirectoryHeader` and their helpers of Go's archive/zip (reader.go), with what they
//! tolerate: bytes before the archive, a count that is right only modulo 65536, zip64, sizes in an extra field. Offsets
//! are signed and wrap as they do there. What goes beyond Go is one bound, [`DIRECTORY_BYTES_MAX`]. Nothing is judged
//! here that Go's reader does not judge: names may be anything.

use super::end::End;
use super::read_at::{ReadAt, Section, SectionError};
use super::{NotCanonical, ZipError};

/// The largest central directory that is read, in bytes: it is what decides how much memory a zip costs. Toolchains have
/// 2 MB for 12,000 files. Go has no such bound, and reads on as long as there are entries.
pub const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

const HEADER_BYTES: usize = 46;
const HEADER_SIGNATURE: u32 = 0x0201_4b50;
const ZIP64_FIELD: u16 = 0x0001;
const TIMESTAMP_FIELD: [u8; 5] = [0x55, 0x54, 5, 0, 1];
const BUFFER_BYTES: usize = 64 << 10;

/// All that a zip's directory says.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    /// The names of all entries, one after the other.
    names: Vec<u8>,
    /// The end record that led here.
    pub(super) end: End,
}

/// One entry of the directory.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    name_start: u32,
    name_bytes: u16,
    pub(super) version_needed: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: u16,
    pub(super) date: u16,
    pub(super) crc: u32,
    pub(super) packed_bytes: u64,
    pub(super) unpacked_bytes: u64,
    /// Where the local header is, seen from the first byte of the file.
    pub(super) header_offset: i64,
    pub(super) extra: Extra,
    /// Whether the fields that no reader of modules needs are empty: no comment, first disk.
    pub(super) bare: bool,
}

/// The extra field, as far as the canonical form knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// The nine bytes of an extended timestamp, of which these four are the time.
    Timestamp([u8; 4]),
    Other,
}

impl Extra {
    fn of(field: &[u8]) -> Self {
        match field {
            [] => Self::None,
            [head @ .., a, b, c, d] if *head == TIMESTAMP_FIELD => {
                Self::Timestamp([*a, *b, *c, *d])
            }
            _ => Self::Other,
        }
    }

    /// The bytes of the field; none for [`Extra::Other`], which is not kept.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Timestamp(time) => [&TIMESTAMP_FIELD[..], &time].concat(),
            Self::None | Self::Other => Vec::new(),
        }
    }
}

impl Entry {
    /// Whether CRC-32 and sizes follow the content.
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & 0x8 != 0
    }
}

impl Directory {
    /// Finds and reads the directory of `bytes`.
    ///
    /// Entries are read until something is no entry, as Go does it, and only then the count is looked at. More than
    /// `entries_max` of them are not kept in memory; the zip is then not in the canonical form.
    pub(super) fn read(bytes: &dyn ReadAt, entries_max: usize) -> Result<Self, ZipError> {
        let end = End::find(bytes)?;
        let mut directory = Self {
            entries: Vec::new(),
            names: Vec::new(),
            end,
        };
        let mut reader = HeaderReader::new(bytes, directory.end.directory_start());
        let stopped_by = loop {
            match reader.next(&mut directory.names) {
                Ok(_) if directory.entries.len() >= entries_max => {
                    return Err(NotCanonical::End.into());
                }
                Ok(mut entry) => {
                    entry.header_offset =
                        entry.header_offset.wrapping_add(directory.end.base_offset);
                    directory.entries.push(entry);
                }
                Err(Stop::Fatal(error)) => return Err(error),
                Err(Stop::NoEntry(error)) => break error,
            }
        };
        if directory.entries.len() as u16 == directory.end.records as u16 {
            Ok(directory)
        } else {
            Err(stopped_by)
        }
    }

    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.name_start as usize;
        self.names
            .get(start..start + usize::from(entry.name_bytes))
            .unwrap_or_default()
    }
}

/// Whether a directory header stands at `offset` (`readDirectoryHeader` on a reader of its own).
pub(super) fn header_at(bytes: &dyn ReadAt, offset: i64) -> bool {
    HeaderReader::new(bytes, offset)
        .next(&mut Vec::new())
        .is_ok()
}

/// Why there is no further entry.
enum Stop {
    /// Go's reader gives up on the zip.
    Fatal(ZipError),
    /// Go's reader takes this for the end of the directory, and reports it only when the count is wrong.
    NoEntry(ZipError),
}

/// Reads directory headers one after the other, through a buffer.
struct HeaderReader<'a> {
    bytes: &'a dyn ReadAt,
    section: Section,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not yet taken.
    start: usize,
    end: usize,
    taken_bytes: u64,
}

impl<'a> HeaderReader<'a> {
    fn new(bytes: &'a dyn ReadAt, offset: i64) -> Self {
        Self {
            bytes,
            section: Section::new(offset, i64::MAX.saturating_sub(offset)),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken_bytes: 0,
        }
    }

    fn next(&mut self, names: &mut Vec<u8>) -> Result<Entry, Stop> {
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(self.take(HEADER_BYTES)?);
        let header = Fields(&header);
        if header.u32(0) != HEADER_SIGNATURE {
            return Err(Stop::NoEntry(ZipError::Format(
                "no directory entry where one is due",
            )));
        }
        let name_bytes = header.u16(28);
        let extra_bytes = usize::from(header.u16(30));
        let comment_bytes = usize::from(header.u16(32));
        let rest = self.take(usize::from(name_bytes) + extra_bytes + comment_bytes)?;
        let (name, rest) = rest.split_at(usize::from(name_bytes));
        let extra = &rest[..extra_bytes];
        let mut entry = Entry {
            name_start: u32::try_from(names.len()).unwrap_or(u32::MAX),
            name_bytes,
            version_needed: header.u16(6),
            flags: header.u16(8),
            method: header.u16(10),
            time: header.u16(12),
            date: header.u16(14),
            crc: header.u32(16),
            packed_bytes: u64::from(header.u32(20)),
            unpacked_bytes: u64::from(header.u32(24)),
            header_offset: i64::from(header.u32(42)),
            extra: Extra::of(extra),
            bare: comment_bytes == 0 && header.u16(34) == 0,
        };
        widen(&mut entry, extra).map_err(Stop::NoEntry)?;
        names.extend_from_slice(name);
        Ok(entry)
    }

    /// The next `count` bytes. None at all left is fatal in Go (`io.EOF`), too few are not (`io.ErrUnexpectedEOF`).
    fn take(&mut self, count: usize) -> Result<&[u8], Stop> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        match self.end - self.start {
            0 if count > 0 => Err(Stop::Fatal(ZipError::Format(
                "the directory runs into the end",
            ))),
            left if left < count => Err(Stop::NoEntry(ZipError::Format(
                "a directory entry is cut off",
            ))),
            _ => {
                self.taken_bytes += count as u64;
                if self.taken_bytes > DIRECTORY_BYTES_MAX {
                    return Err(Stop::Fatal(ZipError::DirectoryTooLarge));
                }
                let taken = &self.buffer[self.start..self.start + count];
                self.start += count;
                Ok(taken)
            }
        }
    }

    fn fill(&mut self, count: usize) -> Result<(), Stop> {
        let mut buffer = vec![0; count.max(BUFFER_BYTES)];
        let left = self.end - self.start;
        buffer[..left].copy_from_slice(&self.buffer[self.start..self.end]);
        (self.buffer, self.start, self.end) = (buffer, 0, left);
        match self.section.read(self.bytes, &mut self.buffer[self.end..]) {
            Ok(read) => self.end += read,
            Err(SectionError::BeforeStart) => {
                return Err(Stop::Fatal(ZipError::Format(
                    "a directory before the first byte",
                )));
            }
            Err(SectionError::Io(error)) => return Err(Stop::Fatal(ZipError::Io(error))),
        }
        Ok(())
    }
}

/// Takes from a zip64 extra field what the header itself has no room for.
///
/// A missing packed size or offset makes the entry invalid; a missing unpacked size is taken as 4 GiB - 1, as Go does.
fn widen(entry: &mut Entry, extra: &[u8]) -> Result<(), ZipError> {
    let missing = u64::from(u32::MAX);
    let mut needs_unpacked = entry.unpacked_bytes == missing;
    let mut needs_packed = entry.packed_bytes == missing;
    let mut needs_offset = entry.header_offset == i64::from(u32::MAX);
    let mut rest = extra;
    while let [a, b, c, d, after @ ..] = rest {
        let size = usize::from(u16::from_le_bytes([*c, *d]));
        let Some((mut field, after)) = after.split_at_checked(size) else {
            break;
        };
        rest = after;
        if u16::from_le_bytes([*a, *b]) != ZIP64_FIELD {
            continue;
        }
        let mut take = || {
            let (value, after) = field
                .split_first_chunk()
                .ok_or(ZipError::Format("a zip64 field is cut off"))?;
            field = after;
            Ok::<_, ZipError>(u64::from_le_bytes(*value))
        };
        if std::mem::take(&mut needs_unpacked) {
            entry.unpacked_bytes = take()?;
        }
        if std::mem::take(&mut needs_packed) {
            entry.packed_bytes = take()?;
        }
        if std::mem::take(&mut needs_offset) {
            entry.header_offset = take()? as i64;
        }
    }
    if needs_packed || needs_offset {
        return Err(ZipError::Format("a zip64 field is missing"));
    }
    Ok(())
}

/// Little-endian numbers at fixed places of a header whose length was checked when it was read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u16(&self, at: usize) -> u16 {
        self.array(at).map_or(0, u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        self.array(at).map_or(0, u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        self.array(at).map_or(0, u64::from_le_bytes)
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Bytes that count how many of them are read.
    struct Counted(Vec<u8>, AtomicU64);

    impl ReadAt for Counted {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            self.0.as_slice().read_exact_at(buf, offset)
        }
    }

    #[test]
    fn a_directory_of_more_entries_than_the_canonical_form_has_is_not_read_to_its_end() {
        const ENTRIES: usize = 150_000;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&HEADER_SIGNATURE.to_le_bytes());
        let mut zip = header.repeat(ENTRIES);
        let (directory_bytes, records) = (zip.len() as u32, (ENTRIES % 65_536) as u16);
        zip.extend(b"PK\x05\x06\0\0\0\0");
        zip.extend([records.to_le_bytes(), records.to_le_bytes()].concat());
        zip.extend(directory_bytes.to_le_bytes());
        zip.extend([0; 6]);
        let zip = Counted(zip, AtomicU64::new(0));
        let all = Directory::read(&zip, usize::MAX).unwrap();
        assert_eq!(all.entries.len(), ENTRIES);
        zip.1.store(0, Ordering::Relaxed);
        let most = 65_534;
        let refused = Directory::read(&zip, most);
        assert!(matches!(refused, Err(ZipError::NotCanonical(_))));
        let read = zip.1.load(Ordering::Relaxed);
        assert!(
            read < ((most + 1) * HEADER_BYTES + 4 * BUFFER_BYTES) as u64,
            "{read}"
        );
    }
}
