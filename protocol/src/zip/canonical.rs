//! The one form in which a zip may come from a neighbour.
//!
//! Go accepts many byte forms of the same content, and some of them carry bytes that no hash covers. The canonical form
//! leaves no room for such: entries lie one after the other from the first byte to the directory in the order of the
//! directory, and directory and end record fill the rest; no comment, no zip64, no extra field but the nine bytes of a
//! timestamp, no flag but the descriptor's and UTF-8's, no folder entries; local header and directory agree; a deflate
//! stream fills its section; the CRC-32 is right. It is what `zip.Create` of golang.org/x/mod and `archive/zip` of Go
//! write. These checks come on top of Go's own, so what passes both is accepted by Go with the same contents.

use super::directory::{Directory, Entry, Extra};
use super::read_at::{ReadAt, Section};
use super::{NotCanonical, ZipError};

/// The longest name in bytes, `path@version/` included. Linux has 4,095 for a whole path; half of that is left to the
/// folder of the module cache, so that what one host unpacked another can unpack.
pub const CANONICAL_NAME_BYTES_MAX: usize = 2048;

/// From this many entries on the end record needs its zip64 form.
pub(super) const ENTRIES_MAX: usize = 0xfffe;

const END_BYTES: u64 = 22;
const LOCAL_BYTES: usize = 30;
const DESCRIPTOR_BYTES: u64 = 16;
const DESCRIPTOR_FLAG: u16 = 0x8;
const UTF8_FLAG: u16 = 0x800;

/// Checks what the directory alone shows: end record, flags, methods, and that entries and directory fill the file.
pub(super) fn check_layout(bytes: &dyn ReadAt, directory: &Directory) -> Result<(), NotCanonical> {
    let end = &directory.end;
    let alone = end.bare && end.base_offset == 0 && end.offset + END_BYTES == bytes.len();
    if !alone || directory.entries.len() > ENTRIES_MAX {
        return Err(NotCanonical::End);
    }
    let (mut next, mut directory_bytes) = (0u64, 0u64);
    for entry in &directory.entries {
        if u64::try_from(entry.header_offset) != Ok(next) {
            return Err(NotCanonical::Gap);
        }
        let name_and_extra = (directory.name(entry).len() + entry.extra.bytes().len()) as u64;
        check_fields(entry, directory.name(entry))?;
        next += LOCAL_BYTES as u64 + name_and_extra + entry.packed_bytes;
        if entry.has_descriptor() {
            next += DESCRIPTOR_BYTES;
        }
        directory_bytes += 46 + name_and_extra;
    }
    let filled = end.records == directory.entries.len() as u64
        && end.directory_offset == next
        && end.directory_bytes == directory_bytes
        && next + directory_bytes == end.offset;
    if filled {
        Ok(())
    } else {
        Err(NotCanonical::Gap)
    }
}

fn check_fields(entry: &Entry, name: &[u8]) -> Result<(), NotCanonical> {
    let wide = u64::from(u32::MAX);
    if !entry.bare || entry.extra == Extra::Other {
        return Err(NotCanonical::Extra);
    }
    if entry.packed_bytes >= wide || entry.unpacked_bytes >= wide {
        return Err(NotCanonical::Zip64);
    }
    if entry.flags & !(DESCRIPTOR_FLAG | UTF8_FLAG) != 0 {
        return Err(NotCanonical::Flags(entry.flags));
    }
    if !matches!(entry.method, 0 | 8) {
        return Err(NotCanonical::Method(entry.method));
    }
    if name.ends_with(b"/") {
        return Err(NotCanonical::Folder);
    }
    if name.len() > CANONICAL_NAME_BYTES_MAX {
        return Err(NotCanonical::Name);
    }
    Ok(())
}

/// Checks what only the entry itself shows. `crc` is that of the content, `consumed` the packed bytes it took.
///
/// The outer error is a failure of the medium.
pub(super) fn check_entry(
    bytes: &dyn ReadAt,
    entry: &Entry,
    name: &str,
    crc: u32,
    consumed: u64,
) -> Result<Result<(), NotCanonical>, ZipError> {
    if consumed != entry.packed_bytes {
        return Ok(Err(NotCanonical::Slack));
    }
    if crc != entry.crc {
        return Ok(Err(NotCanonical::Checksum));
    }
    let expected = local_header(entry, name);
    if !found(bytes, entry.header_offset, &expected)? {
        return Ok(Err(NotCanonical::LocalHeader));
    }
    if entry.has_descriptor() {
        let start = entry
            .header_offset
            .wrapping_add(expected.len() as i64)
            .wrapping_add(entry.packed_bytes as i64);
        if !found(bytes, start, &descriptor(entry))? {
            return Ok(Err(NotCanonical::Descriptor));
        }
    }
    Ok(Ok(()))
}

/// The local header that says the same as the directory. With a descriptor its CRC-32 and sizes are zero.
fn local_header(entry: &Entry, name: &str) -> Vec<u8> {
    let extra = entry.extra.bytes();
    let mut header = Vec::with_capacity(LOCAL_BYTES + name.len() + extra.len());
    header.extend(b"PK\x03\x04");
    for field in [
        entry.version_needed,
        entry.flags,
        entry.method,
        entry.time,
        entry.date,
    ] {
        header.extend(field.to_le_bytes());
    }
    if entry.has_descriptor() {
        header.extend([0; 12]);
    } else {
        header.extend(crc_and_sizes(entry));
    }
    header.extend((name.len() as u16).to_le_bytes());
    header.extend((extra.len() as u16).to_le_bytes());
    header.extend(name.as_bytes());
    header.extend(extra);
    header
}

fn descriptor(entry: &Entry) -> Vec<u8> {
    [&b"PK\x07\x08"[..], &crc_and_sizes(entry)].concat()
}

fn crc_and_sizes(entry: &Entry) -> [u8; 12] {
    let mut fields = [0; 12];
    let (crc, sizes) = fields.split_at_mut(4);
    let (packed, unpacked) = sizes.split_at_mut(4);
    crc.copy_from_slice(&entry.crc.to_le_bytes());
    packed.copy_from_slice(&(entry.packed_bytes as u32).to_le_bytes());
    unpacked.copy_from_slice(&(entry.unpacked_bytes as u32).to_le_bytes());
    fields
}

fn found(bytes: &dyn ReadAt, offset: i64, expected: &[u8]) -> Result<bool, ZipError> {
    let mut buf = vec![0; expected.len()];
    let count = Section::new(offset, expected.len() as i64).read(bytes, &mut buf)?;
    Ok(count == expected.len() && buf == expected)
}
