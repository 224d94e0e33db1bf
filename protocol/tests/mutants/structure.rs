//! What can be done to the records that hold a zip together: gaps, lists, counts, end records, zip64.

use super::changes::{entry, odd};
use super::model::{End64, Zip};
use super::random::Random;

/// A directory of 65,535 bytes, which Go takes for a sign of zip64.
pub(super) fn directory_size(random: &mut Random, zip: &mut Zip) {
    if random.once_in(4) {
        fill_directory(random, zip);
    } else {
        zip.size_shift = [1, -1, 65_535, -65_535, 1 << 31, 10][random.below(6)];
    }
}

pub(super) fn fill_directory(random: &mut Random, zip: &mut Zip) {
    let now: usize = zip
        .listed
        .iter()
        .filter_map(|at| zip.entries.get(*at))
        .map(|e| 46 + e.central.name.len() + e.central.extra.len() + e.comment.len())
        .sum();
    entry(random, zip).comment = vec![b' '; 65_535usize.saturating_sub(now)];
}

pub(super) fn gap(random: &mut Random, zip: &mut Zip) {
    let count = 1 + random.below(40);
    let bytes = random.bytes(count);
    match random.below(7) {
        0 => {
            zip.prefix = bytes;
            zip.offsets_with_prefix = random.once_in(2);
        }
        1 => entry(random, zip).gap = bytes,
        2 => zip.before_directory = bytes,
        3 => zip.after_directory = bytes,
        4 => zip.trailing = bytes,
        5 => entry(random, zip).comment = bytes,
        _ => zip.offsets_with_prefix ^= true,
    }
}

/// The directory lists what is not there, or not what is there.
pub(super) fn listing(random: &mut Random, zip: &mut Zip) {
    match random.below(5) {
        3 => {
            // One more that is no valid entry, and is not counted.
            let mut bad = entry(random, zip).clone();
            bad.central.extra = b"\x01\0\x04\0\x01\x02\x03\x04".to_vec();
            bad.central.packed = u32::MAX;
            zip.entries.push(bad);
            zip.listed.push(zip.entries.len() - 1);
            zip.records_shift = -1;
        }
        0 => {
            zip.listed.pop();
        }
        1 => {
            let at = random.below(zip.listed.len());
            if at < zip.listed.len() {
                zip.listed.remove(at);
            }
        }
        2 => zip.listed.clear(),
        _ => zip.records_shift = [1, -1, 65_535, 65_536, -3][random.below(5)],
    }
}

pub(super) fn record(random: &mut Random, zip: &mut Zip) {
    match random.below(8) {
        0 => zip.disks = (odd(random, 0) as u16, odd(random, 0) as u16),
        1 => zip.offset_shift = [1, -1, 17, -17, 1 << 31, 22][random.below(6)],
        2 => {
            let count = [1, 30, 990, 1002, 1003, 1100, 65_535][random.below(7)];
            zip.comment = vec![b'c'; count];
        }
        3 => zip.comment_shift = [1, -1, -2, 30][random.below(4)],
        4 => {
            // A comment that holds a whole other archive, or the beginning of one.
            let inner = zip.write();
            zip.comment = inner;
            zip.comment.truncate(60_000);
        }
        5 => {
            zip.comment = b"PK\x05\x06".to_vec();
            let count = random.below(40);
            zip.comment.extend(vec![0; count]);
        }
        6 => zip.before_directory = zip.write(),
        _ => {
            // The last comment swallows the end record, wholly or in part, and runs into the end of the file.
            let last = zip.listed.last().copied().unwrap_or(0);
            if let Some(entry) = zip.entries.get_mut(last) {
                entry.comment_shift = [22, 22, 21, 23, 1][random.below(5)];
            }
        }
    }
}

pub(super) fn zip64(random: &mut Random, zip: &mut Zip) {
    let shift = |random: &mut Random, wrong: [i64; 5]| {
        if random.once_in(6) {
            *random.pick(&wrong)
        } else {
            0
        }
    };
    zip.zip64 = Some(End64 {
        records_shift: shift(random, [1, -1, 65_536, 1 << 40, i64::MIN]),
        size_shift: shift(random, [1, -1, 76, i64::MIN, i64::MAX / 2]),
        offset_shift: shift(random, [1, -1, 76, i64::MIN, i64::MAX / 2]),
        locator_shift: shift(random, [1, -1, 4, i64::MIN, i64::MAX / 2]),
        disks: u32::from(random.once_in(8)),
        hidden: [random.once_in(2), random.once_in(3), random.once_in(2)],
    });
    match random.below(6) {
        0 | 1 => zip.records_shift = 65_535 - zip.listed.len() as i64,
        2 => fill_directory(random, zip),
        _ => {}
    }
}

pub(super) fn entry_zip64(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    let mut shifts = [0; 3];
    if random.once_in(2) {
        shifts[random.below(3)] = [1, -1, i64::MIN, i64::MIN, i64::MAX / 2][random.below(5)];
        entry.set_descriptor(random.once_in(3));
    }
    entry.zip64 = Some(shifts);
}

/// A packed size that reaches to the end of the file, where the beginning of a descriptor is, in the comment.
pub(super) fn far_descriptor(random: &mut Random, zip: &mut Zip) {
    let entry = entry(random, zip);
    entry.central.method = 8;
    entry.set_descriptor(true);
    let (packed, mut tail) = (entry.packed.clone(), entry.descriptor.clone());
    if random.once_in(2) {
        tail.drain(..4);
    }
    tail.truncate(random.below(17));
    let tail_bytes = tail.len();
    let name = entry.central.name.clone();
    zip.comment = tail;
    let bytes = zip.write();
    let start = bytes
        .windows(packed.len().max(1))
        .position(|window| window == packed)
        .unwrap_or(0);
    let reach = bytes.len().saturating_sub(tail_bytes + start);
    for entry in zip
        .entries
        .iter_mut()
        .filter(|entry| entry.central.name == name)
    {
        entry.local.get_or_insert(entry.central.clone());
        entry.central.packed = reach as u32;
    }
}
