//! Deflate streams made on purpose: of every kind that RFC 1951 allows, and of kinds that it does not.
//!
//! A library's compressor would only write what it likes, and another version of it would write something else. Here each
//! choice is a random one, and a fault, where asked for, is put in at a chosen place.

use super::random::Random;

/// What is wrong with a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// A literal code with a gap.
    IncompleteLiterals,
    /// A distance code with a gap.
    IncompleteDistances,
    /// More codes than bits allow.
    Oversubscribed,
    /// No code for the end of the block.
    NoEnd,
    /// A code of the code lengths with a gap, or with only one member.
    IncompleteLengths,
    /// More than 286 literal or 30 distance codes.
    TooManyCodes,
    /// Repeats before the first length, or past the last.
    BadRepeat,
    /// A copy from before the first byte.
    TooFarBack,
    /// Symbols that only the fixed code has room for.
    ReservedSymbol,
    /// The length of a stored block and its complement disagree.
    StoredLength,
    /// Block type 3.
    ReservedBlock,
    /// No block is the last.
    NotFinal,
}

pub const FAULTS: [Fault; 12] = [
    Fault::IncompleteLiterals,
    Fault::IncompleteDistances,
    Fault::Oversubscribed,
    Fault::NoEnd,
    Fault::IncompleteLengths,
    Fault::TooManyCodes,
    Fault::BadRepeat,
    Fault::TooFarBack,
    Fault::ReservedSymbol,
    Fault::StoredLength,
    Fault::ReservedBlock,
    Fault::NotFinal,
];

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        // A fault may leave a symbol without a code: then its value has no bits either.
        let mut value = u64::from(value) & ((1 << count) - 1);
        let mut count = count;
        while count > 0 {
            let free = self.bytes.len() as u32 * 8 - self.used;
            if free == 0 {
                self.bytes.push(0);
                continue;
            }
            let taken = free.min(count);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value << (8 - free)) as u8;
            }
            value >>= taken;
            count -= taken;
            self.used += taken;
        }
    }

    fn align(&mut self) {
        self.used = self.bytes.len() as u32 * 8;
    }
}

/// A Huffman code: length and reversed code of each symbol.
struct Code(Vec<(u32, u32)>);

impl Code {
    fn new(lengths: &[u32]) -> Self {
        let mut next = 0u32;
        let mut codes = vec![(0, 0); lengths.len()];
        for length in 1..=15 {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
                codes[symbol] = (length, next.reverse_bits() >> (32 - length));
                next = next.wrapping_add(1);
            }
            next = next.wrapping_shl(1);
        }
        Self(codes)
    }

    fn put(&self, bits: &mut Bits, symbol: usize) {
        let (length, code) = self.0[symbol];
        bits.put(code, length);
    }
}

/// A literal, a copy, or the end of a block.
enum Step {
    Literal(u8),
    Copy { length: usize, distance: usize },
}

const LENGTH_BASES: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The symbol for a length, its extra bits and their number.
fn length_symbol(length: usize) -> (usize, u32, u32) {
    let at = LENGTH_BASES
        .iter()
        .rposition(|base| *base <= length)
        .unwrap_or(0);
    let extra = if (8..28).contains(&at) {
        (at - 4) / 4
    } else {
        0
    };
    (257 + at, (length - LENGTH_BASES[at]) as u32, extra as u32)
}

fn distance_symbol(distance: usize) -> (usize, u32, u32) {
    if distance < 5 {
        return (distance - 1, 0, 0);
    }
    let extra = (distance - 1).ilog2() - 1;
    let symbol = 2 * extra as usize + 2 + ((distance - 1) >> extra & 1);
    let base = 1 + ((2 + (symbol & 1)) << extra);
    (symbol, (distance - base) as u32, extra)
}

/// A stream that unpacks to `content`, unless the fault prevents it.
pub fn encode(random: &mut Random, content: &[u8], fault: Fault) -> Vec<u8> {
    let mut bits = Bits::default();
    let mut at = 0;
    loop {
        let rest = content.len() - at;
        let take = if random.once_in(2) {
            rest
        } else {
            random.below(rest + 1)
        };
        let last = take == rest && !random.once_in(6);
        let here = if last || random.once_in(2) {
            fault
        } else {
            Fault::None
        };
        bits.put(u32::from(last && here != Fault::NotFinal), 1);
        block(random, &mut bits, content, at..at + take, here);
        at += take;
        if last {
            return bits.bytes;
        }
    }
}

fn block(
    random: &mut Random,
    bits: &mut Bits,
    content: &[u8],
    range: std::ops::Range<usize>,
    fault: Fault,
) {
    let kind = match fault {
        Fault::ReservedBlock => 3,
        Fault::StoredLength => 0,
        Fault::ReservedSymbol => 1,
        Fault::None | Fault::NotFinal | Fault::TooFarBack => random.below(3) as u32,
        _ => 2,
    };
    bits.put(kind, 2);
    match kind {
        0 if range.len() < 65536 => {
            bits.align();
            let length = range.len() as u32;
            let complement = if fault == Fault::StoredLength {
                length
            } else {
                !length & 0xffff
            };
            bits.put(length, 16);
            bits.put(complement, 16);
            for byte in &content[range] {
                bits.put(u32::from(*byte), 8);
            }
        }
        1 => {
            let lengths: Vec<u32> = (0..288)
                .map(|symbol| match symbol {
                    0..144 => 8,
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                })
                .collect();
            let steps = plan(random, content, range, fault);
            let (literals, distances) = (Code::new(&lengths), Code::new(&[5; 32]));
            if fault == Fault::ReservedSymbol {
                reserved(random, bits, &literals, &distances);
            }
            put_steps(bits, &steps, &literals, &distances);
        }
        2 => {
            let steps = plan(random, content, range, fault);
            dynamic(random, bits, &steps, fault);
        }
        _ => {}
    }
}

fn reserved(random: &mut Random, bits: &mut Bits, literals: &Code, distances: &Code) {
    if random.once_in(2) {
        literals.put(bits, 286 + random.below(2));
    } else {
        literals.put(bits, 257);
        distances.put(bits, 30 + random.below(2));
    }
}

/// How often the long seed repeats itself.
pub const PERIOD: usize = 700;

/// Literals, and copies wherever something earlier happens to be the same.
fn plan(
    random: &mut Random,
    content: &[u8],
    range: std::ops::Range<usize>,
    fault: Fault,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let mut distance = 1 + random.below(at.min(32768));
        if at >= PERIOD && random.once_in(2) {
            distance = PERIOD;
        }
        let length = (0..(range.end - at).min(258))
            .take_while(|i| at > 0 && content[at + i - distance] == content[at + i])
            .count();
        if length >= 3 && !random.once_in(8) {
            steps.push(Step::Copy { length, distance });
            at += length;
        } else {
            steps.push(Step::Literal(content[at]));
            at += 1;
        }
    }
    if fault == Fault::TooFarBack {
        let distance = (range.end + 1 + random.below(2000)).min(32768);
        steps.push(Step::Copy {
            length: 3,
            distance,
        });
    }
    steps
}

fn put_steps(bits: &mut Bits, steps: &[Step], literals: &Code, distances: &Code) {
    for step in steps {
        match *step {
            Step::Literal(byte) => literals.put(bits, usize::from(byte)),
            Step::Copy { length, distance } => {
                let (symbol, extra, count) = length_symbol(length);
                literals.put(bits, symbol);
                bits.put(extra, count);
                let (symbol, extra, count) = distance_symbol(distance);
                distances.put(bits, symbol);
                bits.put(extra, count);
            }
        }
    }
    literals.put(bits, 256);
}

/// Lengths of a complete code for `used` symbols (at least one), of `depth` bits at most, in random order.
fn complete(random: &mut Random, symbols: usize, used: &[usize], depth: u32) -> Vec<u32> {
    let mut lengths = vec![0; symbols];
    let mut leaves = vec![0u32];
    while leaves.len() < used.len() {
        // Preferring shallow leaves keeps even 286 symbols within 15 bits.
        let candidates = [random.below(leaves.len()), random.below(leaves.len())];
        let at = candidates
            .into_iter()
            .min_by_key(|at| leaves[*at])
            .unwrap_or(0);
        let at = if leaves[at] < depth {
            at
        } else {
            leaves.iter().position(|leaf| *leaf < depth).unwrap_or(0)
        };
        leaves[at] += 1;
        leaves.push(leaves[at]);
    }
    random.shuffle(&mut leaves);
    for (symbol, leaf) in used.iter().zip(leaves) {
        lengths[*symbol] = leaf.max(1);
    }
    lengths
}

fn dynamic(random: &mut Random, bits: &mut Bits, steps: &[Step], fault: Fault) {
    let mut used_literals = vec![256];
    let mut used_distances = Vec::new();
    for step in steps {
        match *step {
            Step::Literal(byte) => used_literals.push(usize::from(byte)),
            Step::Copy { length, distance } => {
                used_literals.push(length_symbol(length).0);
                used_distances.push(distance_symbol(distance).0);
            }
        }
    }
    if random.once_in(3) {
        used_literals.push(random.below(286));
        used_distances.push(random.below(30));
    }
    for used in [&mut used_literals, &mut used_distances] {
        used.sort_unstable();
        used.dedup();
    }
    let mut literals = complete(random, 288, &used_literals, 15);
    let mut distances = complete(random, 32, &used_distances, 15);
    if used_distances.is_empty() {
        distances = vec![0; 32];
    }
    spoil(random, &mut literals, &mut distances, fault);
    let trim = |lengths: &[u32], least: usize, most: usize| {
        let end = lengths.iter().rposition(|l| *l != 0).map_or(0, |at| at + 1);
        end.clamp(least, most)
    };
    let (mut literal_count, mut distance_count) =
        (trim(&literals, 257, 286), trim(&distances, 1, 30));
    match fault {
        Fault::TooManyCodes if random.once_in(2) => literal_count = 287 + random.below(2),
        Fault::TooManyCodes => distance_count = 31 + random.below(2),
        _ if random.once_in(3) => (literal_count, distance_count) = (286, 30),
        _ => {}
    }
    bits.put(literal_count as u32 - 257, 5);
    bits.put(distance_count as u32 - 1, 5);
    let all = [&literals[..literal_count], &distances[..distance_count]].concat();
    put_lengths(random, bits, &all, fault);
    put_steps(bits, steps, &Code::new(&literals), &Code::new(&distances));
}

fn spoil(random: &mut Random, literals: &mut [u32], distances: &mut [u32], fault: Fault) {
    let lengths = match fault {
        Fault::IncompleteLiterals | Fault::Oversubscribed => literals,
        Fault::IncompleteDistances => distances,
        Fault::NoEnd => {
            literals[256] = 0;
            return;
        }
        _ => return,
    };
    let used: Vec<usize> = (0..lengths.len()).filter(|at| lengths[*at] != 0).collect();
    if used.is_empty() {
        lengths[random.below(30)] = 1 + random.below(2) as u32;
        return;
    }
    let at = *random.pick(&used);
    lengths[at] = match fault {
        Fault::Oversubscribed => lengths[at] - 1,
        _ => (lengths[at] + 1).min(15),
    };
}

/// The code lengths, packed with random repeats.
fn put_lengths(random: &mut Random, bits: &mut Bits, lengths: &[u32], fault: Fault) {
    let mut symbols: Vec<(usize, u32, u32)> = Vec::new();
    if fault == Fault::BadRepeat && random.once_in(2) {
        symbols.push((16, 0, 2));
    }
    let mut at = 0;
    while at < lengths.len() {
        let run = lengths[at..]
            .iter()
            .take_while(|l| **l == lengths[at])
            .count();
        let repeats = random.below(4) != 0;
        let (symbol, length) = match lengths[at] {
            0 if repeats && run >= 11 => ((18, run.min(138) as u32 - 11, 7), run.min(138)),
            0 if repeats && run >= 3 => ((17, run.min(10) as u32 - 3, 3), run.min(10)),
            same if repeats && run >= 3 && at > 0 && lengths[at - 1] == same => {
                ((16, run.min(6) as u32 - 3, 2), run.min(6))
            }
            length => ((length as usize, 0, 0), 1),
        };
        symbols.push(symbol);
        at += length;
    }
    if fault == Fault::BadRepeat {
        symbols.push((18, random.below(128) as u32, 7));
    }
    let mut used: Vec<usize> = symbols.iter().map(|symbol| symbol.0).collect();
    used.sort_unstable();
    used.dedup();
    let mut code_lengths = complete(random, 19, &used, 7);
    if fault == Fault::IncompleteLengths {
        if random.once_in(2) {
            code_lengths = vec![0; 19];
            code_lengths[random.below(19)] = 1;
        } else {
            let at = used[random.below(used.len())];
            code_lengths[at] = (code_lengths[at] + 1).min(7);
        }
    }
    let sent = LENGTH_ORDER
        .iter()
        .rposition(|symbol| code_lengths[*symbol] != 0);
    let sent = sent.map_or(4, |at| (at + 1).max(4));
    bits.put(sent as u32 - 4, 4);
    for symbol in &LENGTH_ORDER[..sent] {
        bits.put(code_lengths[*symbol], 3);
    }
    let code = Code::new(&code_lengths);
    for (symbol, extra, count) in symbols {
        code.put(bits, symbol);
        bits.put(extra, count);
    }
}
