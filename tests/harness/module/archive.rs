//! Writes zip archives in the form that Go's `archive/zip` writer gives them.
//!
//! Every entry is deflated (method 8), its CRC-32 and sizes follow the data in a descriptor (flag 8), there is no extra
//! field, and the time is zero. The deviations that [`Form`] offers exist to be refused.

use std::io::Write;
use std::ops::Range;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What may differ from the form that Go writes.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// Effort of the compression, 0 to 9.
    pub(super) level: u32,
    /// Comment of the archive.
    pub(super) comment: Vec<u8>,
    /// Added by exclusive or to the CRC-32 of the last entry.
    pub(super) checksum_mask: u32,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            level: 6,
            comment: Vec::new(),
            checksum_mask: 0,
        }
    }
}

/// An archive and where the compressed data of each entry lies in it.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) bytes: Vec<u8>,
    pub(super) data: Vec<Range<usize>>,
}

/// Writes an archive of the named contents, in their order.
pub(super) fn write(entries: &[(String, Vec<u8>)], form: &Form) -> Archive {
    let (mut bytes, mut directory, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for (position, (name, content)) in entries.iter().enumerate() {
        let mask = if position + 1 == entries.len() {
            form.checksum_mask
        } else {
            0
        };
        let flags: u16 = if name.is_ascii() { 0x8 } else { 0x808 };
        let offset = bytes.len();
        put32(&mut bytes, 0x0403_4b50);
        put_head(&mut bytes, flags, [0, 0, 0], name);
        bytes.extend_from_slice(name.as_bytes());

        let start = bytes.len();
        let mut encoder = DeflateEncoder::new(&mut bytes, Compression::new(form.level));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap();
        data.push(start..bytes.len());

        let sums = [
            crc32fast::hash(content) ^ mask,
            count32(bytes.len() - start),
            count32(content.len()),
        ];
        put32(&mut bytes, 0x0807_4b50);
        sums.iter().for_each(|sum| put32(&mut bytes, *sum));

        put32(&mut directory, 0x0201_4b50);
        put16(&mut directory, 20);
        put_head(&mut directory, flags, sums, name);
        // Comment length, disk, internal attributes: 2 bytes each; external attributes: 4 bytes.
        directory.extend_from_slice(&[0; 10]);
        put32(&mut directory, count32(offset));
        directory.extend_from_slice(name.as_bytes());
    }
    finish(&mut bytes, &directory, entries.len(), &form.comment);
    Archive { bytes, data }
}

/// The fields that local header and directory entry have in common, from "version needed" to "extra length".
fn put_head(out: &mut Vec<u8>, flags: u16, sums: [u32; 3], name: &str) {
    put16(out, 20);
    put16(out, flags);
    put16(out, 8);
    put32(out, 0); // time and date
    sums.iter().for_each(|sum| put32(out, *sum));
    put16(out, count16(name.len()));
    put16(out, 0);
}

fn finish(bytes: &mut Vec<u8>, directory: &[u8], entries: usize, comment: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(directory);
    put32(bytes, 0x0605_4b50);
    put32(bytes, 0); // this disk, disk of the directory
    put16(bytes, count16(entries));
    put16(bytes, count16(entries));
    put32(bytes, count32(directory.len()));
    put32(bytes, count32(start));
    put16(bytes, count16(comment.len()));
    bytes.extend_from_slice(comment);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn count16(value: usize) -> u16 {
    u16::try_from(value).unwrap()
}

fn count32(value: usize) -> u32 {
    u32::try_from(value).unwrap()
}
