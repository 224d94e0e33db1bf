//! The record at the end of a zip, which says where the directory is.
//!
//! This restates `readDirectoryEnd`, `findDirectory64End` and `readDirectory64End` of Go's archive/zip: the record is
//! looked for in the last 1 KiB and then in the last 65 KiB, backwards; what follows it may be a comment; the archive may
//! have bytes before it. Numbers wrap as they do there. Whether the form is canonical is asked elsewhere.

use super::ZipError;
use super::directory::{Fields, header_at};
use super::read_at::ReadAt;

const END_BYTES: usize = 22;
const END_SIGNATURE: &[u8; 4] = b"PK\x05\x06";
const LOCATOR_BYTES: usize = 20;
const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const END64_BYTES: usize = 56;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const SEARCHED_BYTES: [u64; 2] = [1024, 65 * 1024];

/// The end record, with the zip64 one already put in where Go does so.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// How many entries there should be; only the lowest 16 bits count.
    pub(super) records: u64,
    pub(super) directory_bytes: u64,
    pub(super) directory_offset: u64,
    /// What is to be added to every offset, when bytes stand before the archive.
    pub(super) base_offset: i64,
    /// Where the record itself is.
    pub(super) offset: u64,
    /// Whether it is the plain record of a zip on one disk, without a comment and without zip64.
    pub(super) bare: bool,
}

impl End {
    /// Where the first directory entry is.
    pub(super) fn directory_start(&self) -> i64 {
        self.base_offset.wrapping_add(self.directory_offset as i64)
    }

    /// Finds the record.
    pub(super) fn find(bytes: &dyn ReadAt) -> Result<Self, ZipError> {
        let (offset, record) = search(bytes)?;
        let fields = Fields(&record);
        let mut end = Self {
            records: u64::from(fields.u16(10)),
            directory_bytes: u64::from(fields.u32(12)),
            directory_offset: u64::from(fields.u32(16)),
            base_offset: 0,
            offset,
            bare: fields.u32(4) == 0 && fields.u16(8) == fields.u16(10) && fields.u16(20) == 0,
        };
        let mut directory_end = offset as i64;
        // Go compares the size with a 16-bit number here; what matters is that we do the same.
        let may_be_zip64 = end.records == 0xffff
            || end.directory_bytes == 0xffff
            || end.directory_offset == 0xffff_ffff;
        if may_be_zip64 && let Some(offset64) = locate64(bytes, offset)? {
            end.read64(bytes, offset64)?;
            directory_end = offset64 as i64;
        }
        end.settle_base(bytes, directory_end)?;
        Ok(end)
    }

    fn read64(&mut self, bytes: &dyn ReadAt, offset: u64) -> Result<(), ZipError> {
        let mut record = [0; END64_BYTES];
        read(bytes, &mut record, offset)?;
        let fields = Fields(&record);
        if fields.u32(0) != END64_SIGNATURE {
            return Err(ZipError::Format("no zip64 end record where one is due"));
        }
        self.records = fields.u64(32);
        self.directory_bytes = fields.u64(40);
        self.directory_offset = fields.u64(48);
        self.bare = false;
        Ok(())
    }

    /// Works out how many bytes stand before the archive, and distrusts the answer when offsets from the first byte on
    /// lead to a directory as well.
    fn settle_base(&mut self, bytes: &dyn ReadAt, directory_end: i64) -> Result<(), ZipError> {
        let outside = ZipError::Format("the directory is not inside the file");
        let (Ok(size), Ok(offset)) = (
            i64::try_from(self.directory_bytes),
            i64::try_from(self.directory_offset),
        ) else {
            return Err(outside);
        };
        self.base_offset = directory_end.wrapping_sub(size).wrapping_sub(offset);
        match u64::try_from(self.directory_start()) {
            Ok(start) if start < bytes.len() => {}
            _ => return Err(outside),
        }
        if self.base_offset > 0 && header_at(bytes, offset) {
            self.base_offset = 0;
        }
        Ok(())
    }
}

/// The offset and the 22 bytes of the last end record whose comment fits.
fn search(bytes: &dyn ReadAt) -> Result<(u64, Vec<u8>), ZipError> {
    for searched in SEARCHED_BYTES {
        let count = searched.min(bytes.len());
        let start = bytes.len() - count;
        let mut tail = vec![0; count as usize];
        read(bytes, &mut tail, start)?;
        if let Some(at) = last_record(&tail) {
            let record = tail.get(at..at + END_BYTES).unwrap_or_default().to_vec();
            return Ok((start + at as u64, record));
        }
        if count == bytes.len() {
            break;
        }
    }
    Err(ZipError::Format("no end record"))
}

/// Only the last signature is looked at: when its comment does not fit, an earlier one is not tried.
fn last_record(tail: &[u8]) -> Option<usize> {
    let at = tail
        .windows(END_BYTES)
        .rposition(|window| window.starts_with(END_SIGNATURE))?;
    let comment = usize::from(Fields(tail).u16(at + END_BYTES - 2));
    (at + END_BYTES + comment <= tail.len()).then_some(at)
}

/// Where the zip64 end record is, when a locator for it stands right before the plain one.
fn locate64(bytes: &dyn ReadAt, end_offset: u64) -> Result<Option<u64>, ZipError> {
    let Some(offset) = end_offset.checked_sub(LOCATOR_BYTES as u64) else {
        return Ok(None);
    };
    let mut locator = [0; LOCATOR_BYTES];
    read(bytes, &mut locator, offset)?;
    let fields = Fields(&locator);
    if fields.u32(0) != LOCATOR_SIGNATURE || fields.u32(4) != 0 || fields.u32(16) != 1 {
        return Ok(None);
    }
    // An offset that is negative as Go sees it counts as none.
    Ok(Some(fields.u64(8)).filter(|&offset| i64::try_from(offset).is_ok()))
}

fn read(bytes: &dyn ReadAt, buf: &mut [u8], offset: u64) -> Result<(), ZipError> {
    let fits = offset
        .checked_add(buf.len() as u64)
        .is_some_and(|end| end <= bytes.len());
    if !fits {
        return Err(ZipError::Format("a record is cut off"));
    }
    bytes.read_exact_at(buf, offset).map_err(ZipError::Io)
}
