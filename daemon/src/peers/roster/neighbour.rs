//! One neighbour: what it did, said and is, and how people see that.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modmesh_protocol::control::{Evidence, FoundBy, PassedOver, PeerStatus, rfc3339};
use modmesh_protocol::limits::{ANNOUNCEMENTS_BURST_MAX, ANNOUNCEMENTS_PER_SECOND_MAX};
use modmesh_protocol::peer_name::PeerName;
use modmesh_protocol::site::Site;

use super::super::crossing::OtherSite;
use super::super::members::Said;

#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) name: PeerName,
    pub(super) found_by: FoundBy,
    pub(super) addresses: Vec<String>,
    pub(super) connections: usize,
    /// Whether one of them came over a link of this host.
    pub(super) on_link: bool,
    /// By its own word.
    pub(super) site: Option<Site>,
    /// Whether that makes it one of another site.
    pub(super) across: bool,
    pub(super) greeted: bool,
    /// Whether it said so as a neighbour, and others here were told that it came.
    pub(super) came: bool,
    /// Whether it has one of the places for neighbours.
    pub(super) admitted: bool,
    /// Whether it is here on an errand, or called on one, and no neighbour.
    pub(super) on_errand: bool,
    /// Whether its connection is being ended.
    pub(super) leaving: bool,
    /// By what it showed on a connection that still stands that it is a member.
    pub(super) member: Option<Said>,
    pub(super) proven: bool,
    pub(super) round_trip: Option<Duration>,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) last_error: Option<String>,
    /// For how long it had been up at a moment, by its own word.
    pub(super) up_before: (Instant, Duration),
    /// Until when it is not asked as an owner, and for whom it had this host wait.
    pub(super) vain_until: Option<(Instant, String)>,
    /// When the hour began in which that was last taken back because the one waited for was gone, and how often it was in that hour.
    pub(super) vain_excused: (Instant, u8),
    /// While it is probed, or shortly after: since when, and what came of it.
    pub(super) probe: Option<Probe>,
    pub(super) slow_until: Option<Instant>,
    /// Until when a new connection does not end that.
    pub(super) unexcused_until: Option<Instant>,
    pub(super) doubted_until: Option<Instant>,
    /// Whether it answers questions for small files with their proofs, by its own word.
    pub(super) gives_inline: bool,
    /// Until when it is not asked so all the same.
    pub(super) plain_until: Option<Instant>,
    pub(super) banned_until: Option<Instant>,
    /// Whether this host's user distrusts it.
    pub(super) is_distrusted: bool,
    pub(super) lies: Vec<(SystemTime, String, Option<PathBuf>)>,
    pub(super) seen_at: Instant,
    pub(super) announcements: Allowance,
}

/// What is known of a neighbour that was silent to a question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Probe {
    /// It has just been asked whether it is there.
    Asked,
    /// It has not answered, and is passed over as an owner until the one moment, at the latest.
    Mute(Instant),
    /// It answered, and is not probed again before that moment.
    Answered(Instant),
}

/// A token bucket for announcements.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    counted_at: Instant,
}

impl Neighbour {
    pub(super) fn new(name: PeerName) -> Self {
        let now = Instant::now();
        Self {
            name,
            found_by: FoundBy::Inbound,
            addresses: Vec::new(),
            connections: 0,
            on_link: true,
            site: None,
            across: false,
            greeted: false,
            came: false,
            admitted: false,
            on_errand: false,
            leaving: false,
            member: None,
            proven: false,
            round_trip: None,
            received_bytes: 0,
            sent_bytes: 0,
            last_error: None,
            up_before: (now, Duration::ZERO),
            vain_until: None,
            vain_excused: (now, 0),
            probe: None,
            slow_until: None,
            unexcused_until: None,
            doubted_until: None,
            gives_inline: false,
            plain_until: None,
            banned_until: None,
            is_distrusted: false,
            lies: Vec::new(),
            seen_at: now,
            announcements: Allowance {
                left: ANNOUNCEMENTS_BURST_MAX.into(),
                counted_at: now,
            },
        }
    }

    pub(super) fn is_banned(&self, now: Instant) -> bool {
        self.is_distrusted || self.banned_until.is_some_and(|until| now < until)
    }

    /// For how long it is still not asked as an owner, and for whom it had this host wait.
    pub(super) fn vain(&self, now: Instant) -> Option<(Duration, &str)> {
        let (until, holder) = self.vain_until.as_ref()?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((left, holder))
    }

    /// For how long it is still not asked as an owner for being silent.
    pub(super) fn mute(&self, now: Instant) -> Option<Duration> {
        match self.probe? {
            Probe::Mute(until) => Some(until.saturating_duration_since(now)),
            Probe::Asked | Probe::Answered(_) => None,
        }
    }

    fn passed_over(&self, now: Instant) -> Option<PassedOver> {
        let (left, reason) = match (self.vain(now), self.mute(now)) {
            (Some((left, holder)), _) => {
                (left, format!("had this host wait for {holder}, in vain"))
            }
            (None, Some(left)) => (left, "is silent, and is being looked at".to_owned()),
            (None, None) => return None,
        };
        Some(PassedOver {
            until: text_of(SystemTime::now() + left),
            reason,
        })
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.connections > 0 && self.greeted && !self.leaving && !self.is_banned(now)
    }

    /// As [`Neighbour::is_usable`], of one that is a neighbour, and not here on an errand.
    pub(super) fn is_here_to_stay(&self, now: Instant) -> bool {
        self.is_usable(now) && self.came && !self.on_errand
    }

    /// Whether it has one of the places for neighbours.
    pub(super) fn has_place(&self) -> bool {
        self.admitted && self.connections > 0
    }

    pub(super) fn other_site(&self) -> Option<OtherSite> {
        let site = || OtherSite::of(&self.name, self.site.as_ref());
        self.across.then(site)
    }

    pub(super) fn is_member(&self) -> bool {
        self.connections > 0 && self.member.is_some()
    }

    pub(super) fn status(&self, now: Instant) -> PeerStatus {
        let left = self.banned_until.map(|t| t.saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        let evidence = |(at, what, file): &(SystemTime, String, Option<PathBuf>)| Evidence {
            at: text_of(*at),
            what: what.clone(),
            file: file.as_ref().map(|file| file.display().to_string()),
        };
        PeerStatus {
            peer_id: self.name.clone(),
            addrs: self.addresses.clone(),
            connected: self.is_here_to_stay(now),
            on_errand: self.is_usable(now) && self.on_errand,
            found_by: self.found_by,
            member: self.is_member(),
            site: self.site.as_ref().map(Site::to_string),
            across: self.across,
            rtt_ms: self.round_trip.map(|time| time.as_secs_f64() * 1000.0),
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            last_error: self.last_error.clone(),
            banned_until: left.map(|left| text_of(SystemTime::now() + left)),
            evidence: self.lies.iter().map(evidence).collect(),
            up_seconds: self.is_here_to_stay(now).then(|| {
                let (at, up) = self.up_before;
                up.saturating_add(now.saturating_duration_since(at))
                    .as_secs()
            }),
            passed_over: self.passed_over(now),
            distrusted: self.is_distrusted,
        }
    }
}

impl Allowance {
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at);
        let grown = self.left + passed.as_secs_f64() * f64::from(ANNOUNCEMENTS_PER_SECOND_MAX);
        self.left = grown.min(ANNOUNCEMENTS_BURST_MAX.into());
        self.counted_at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

fn text_of(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_taken_at_a_bounded_rate() {
        let start = Instant::now();
        let mut allowance = Allowance {
            left: ANNOUNCEMENTS_BURST_MAX.into(),
            counted_at: start,
        };
        let taken = |a: &mut Allowance, at| (0..1000).filter(|_| a.take(at)).count();
        assert_eq!(taken(&mut allowance, start), 64);
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(1)), 16);
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(999)), 64);
    }
}
