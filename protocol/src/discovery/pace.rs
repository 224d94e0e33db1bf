//! When to speak, so that a link carries at most so many packets a second, however many hosts are on it.
//!
//! Each packet that is heard takes a seventh of a second of the link's time; who wants to speak waits until the time that is
//! taken has passed, and then a random while more, drawn anew after each packet. The draw is that of feedback in TFMCC (RFC
//! 4654): late moments are much more likely than early ones, so that of ten hosts as of ten thousand one or
//! two come first, and the others hear them and wait. So what bounds the rate is not that somebody knows how many hosts
//! there are but that they hear each other. Where packets come close together the link is slow to carry them, and all draw
//! longer.
//!
//! A host that has not spoken yet comes before those that have. A host without enough neighbours speaks again after 1, 2, 4, 8 and then
//! every 16 s, after 40 times every minute; one that has enough once more and then seldom, the more seldom the more hosts are known. A
//! question is answered by four hosts.

use std::time::Duration;

/// Packets a second on one link in the long run, all hosts together. In any one second there may be one more, and one for
/// each that spoke before it could hear another.
pub const PACKETS_PER_SECOND_MAX: u32 = 7;

/// How long one packet takes the link.
const SPACING: Duration = Duration::from_millis(1000 / PACKETS_PER_SECOND_MAX as u64);
/// The longest draw on a link that carries packets at once, at the start, and on one that is very slow.
const CONTENTION_MIN: Duration = Duration::from_millis(140);
const CONTENTION_FIRST: Duration = Duration::from_millis(200);
const CONTENTION_MAX: Duration = Duration::from_millis(2000);
/// How long a host that has come to the link listens first.
const LISTEN_FIRST: Duration = Duration::from_millis(40);
/// Hosts for which the draw still makes few come first.
const CONTENDERS_MAX: f64 = 10_000.0;
/// The most time of the link that may be taken in advance: what a burst on a slow link is paid back with, and how long a flood
/// is felt after its last packet.
const TAKEN_MAX: Duration = Duration::from_secs(10);
/// How long a host waits for its turn at most. Two thousand hosts that start together take four minutes; what takes longer is
/// a flood, under which all hosts together are still slow.
const PATIENCE: Duration = Duration::from_secs(600);
/// Neighbours that are enough to be found by the others: any of them can be asked.
const ENOUGH: usize = 3;
/// Hosts that answer a question.
const ANSWERS: u32 = 4;
/// How soon nobody repeats itself (RFC 6762, section 6).
const REPEAT_MIN: Duration = Duration::from_secs(1);
/// Pauses of a host that has too few neighbours: doubling up to here.
const ALONE_PAUSE_MAX: Duration = Duration::from_secs(16);
/// How often it does that, before it takes longer pauses: for ten minutes.
const ALONE_TRIES: u32 = 40;
const LONG_ALONE_PAUSE: Duration = Duration::from_secs(60);
/// When a host that has enough neighbours says it once more, for those that missed the first time.
const ONCE_MORE: Duration = Duration::from_secs(15);
/// The pause of a host that has enough neighbours, for each host that is known on the link; so all hosts of a link together
/// speak every ten seconds.
const PAUSE_PER_HOST: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How long the greatest number of neighbours is remembered, to see that half of them went.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What a host has to decide whether it has company enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Company {
    /// Neighbours that can be asked now, on whatever link.
    pub neighbours: usize,
    /// Hosts that were heard on this link lately.
    pub heard: usize,
}

/// What to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Who this host is.
    Tell,
    /// Who this host is, and who else is there?
    Ask,
}

/// The pace of one host on one link.
#[derive(Debug)]
pub struct Pace {
    random: Random,
    /// When the time that is taken has passed.
    free_at: Duration,
    /// When the last packet came.
    last_at: Option<Duration>,
    /// The longest draw.
    contention: Duration,
    /// When it wants to speak.
    due: Duration,
    /// When it will, if nothing is heard before.
    at: Duration,
    /// How often it spoke since it last had too few neighbours.
    spoken: u32,
    spoke_at: Option<Duration>,
    /// Answers that a question is still waiting for.
    answers_left: u32,
    few: bool,
    heard: usize,
    /// The most neighbours there were lately, and when.
    most: (usize, Duration),
}

impl Pace {
    /// Of a host that has just come to the link and wants to speak soon. What was said before it came it has not heard, so
    /// it listens first. Hosts need different seeds.
    pub fn new(now: Duration, seed: u64) -> Self {
        let mut pace = Self {
            random: Random(seed),
            free_at: now.saturating_add(LISTEN_FIRST),
            last_at: None,
            contention: CONTENTION_FIRST,
            due: now,
            at: now,
            spoken: 0,
            spoke_at: None,
            answers_left: 0,
            few: true,
            heard: 0,
            most: (0, now),
        };
        pace.draw();
        pace
    }

    /// A packet of another host was heard; `asks` when it wants to be answered.
    pub fn hear(&mut self, now: Duration, asks: bool) {
        self.take(now);
        self.answers_left = self.answers_left.saturating_sub(1);
        if asks {
            self.answers_left = ANSWERS;
        }
        self.draw();
    }

    /// How things stand; to be told now and then, and before [`Pace::speak`].
    pub fn company(&mut self, now: Duration, company: Company) {
        let Company { neighbours, heard } = company;
        self.heard = heard;
        if neighbours >= self.most.0 || now > self.most.1.saturating_add(REMEMBERED) {
            self.most = (neighbours, now);
        }
        let few = neighbours < ENOUGH || neighbours.saturating_mul(2) < self.most.0;
        if few == self.few {
            return;
        }
        self.few = few;
        if self.spoke_at.is_none() {
            return;
        }
        self.spoken = 1;
        let wait = if few { REPEAT_MIN } else { ONCE_MORE };
        self.due = now.saturating_add(self.about(wait));
        self.draw();
    }

    /// When to call [`Pace::speak`] next.
    pub fn next(&self) -> Duration {
        self.at
    }

    /// What to say now, if anything. All that was heard must have been told before.
    pub fn speak(&mut self, now: Duration) -> Option<Speech> {
        if now < self.at {
            return None;
        }
        // An answer does not ask, or two hosts alone would answer each other for ever.
        let speech = match self.few && self.due <= now {
            true => Speech::Ask,
            false => Speech::Tell,
        };
        self.take(now);
        self.answers_left = 0;
        self.spoken = self.spoken.saturating_add(1);
        self.spoke_at = Some(now);
        let pause = self.pause();
        self.due = now.saturating_add(self.about(pause));
        self.draw();
        Some(speech)
    }

    /// The pause after having spoken.
    fn pause(&self) -> Duration {
        if self.few {
            if self.spoken >= ALONE_TRIES {
                return LONG_ALONE_PAUSE;
            }
            let doubled = REPEAT_MIN.saturating_mul(1 << (self.spoken.max(1) - 1).min(16));
            return doubled.min(ALONE_PAUSE_MAX);
        }
        if self.spoken == 1 {
            return ONCE_MORE;
        }
        let hosts = u32::try_from(self.heard).unwrap_or(u32::MAX);
        PAUSE_PER_HOST
            .saturating_mul(hosts)
            .clamp(PAUSE_MIN, PAUSE_MAX)
    }

    /// Between three quarters and five quarters of it.
    fn about(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(0.75 + self.random.share() / 2.0)
    }

    /// One packet takes the link.
    fn take(&mut self, now: Duration) {
        let apart = self.last_at.map(|last| now.saturating_sub(last));
        self.last_at = Some(now);
        self.contention = match apart {
            Some(apart) if apart < SPACING / 2 => self.contention.mul_f64(1.5),
            _ => self.contention.mul_f64(0.8),
        };
        self.contention = self.contention.clamp(CONTENTION_MIN, CONTENTION_MAX);
        let from = self.free_at.max(now.saturating_sub(SPACING));
        let free_at = from.saturating_add(SPACING);
        self.free_at = free_at.min(now.saturating_add(TAKEN_MAX));
    }

    /// Draws the moment at which to speak, from what is due.
    fn draw(&mut self) {
        let mut due = self.due;
        if self.answers_left > 0 {
            let answer = self.spoke_at.map(|spoke| spoke.saturating_add(REPEAT_MIN));
            due = due.min(answer.unwrap_or_default());
        }
        let behind = match self.spoke_at {
            Some(_) => self.contention,
            None => Duration::ZERO,
        };
        // From 0 to 1, and much more often near to 1.
        let late = (1.0 + self.random.share().ln() / CONTENDERS_MAX.ln()).max(0.0);
        let wait = self.contention.mul_f64(late) + behind;
        let patient_until = due.saturating_add(PATIENCE);
        let free_at = self.free_at.min(patient_until);
        self.at = due.max(free_at).saturating_add(wait);
    }
}

/// SplitMix64: good enough to keep hosts apart.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Above 0 and at most 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
