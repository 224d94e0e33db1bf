//! Which minute of the week it is where this machine is: by its clock, its time zone and the rules for daylight saving of its own time
//! zone database (tzfile(5)). A zone that is set anew is seen within five minutes.

use std::sync::Once;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use modmesh_protocol::rate::Minute;

/// It is said once that the time zone is not known.
static SAID: Once = Once::new();

/// The minute of the week. Where the zone is not known it is that of UTC, and the log says so once. Reads a few small files now and then.
pub(crate) fn local_minute() -> Minute {
    let zone = TimeZone::try_system().unwrap_or_else(|error| {
        SAID.call_once(|| {
            tracing::warn!(
                %error,
                "the time zone of this machine is not known, so the hours of limits are those of UTC: set /etc/localtime or TZ"
            );
        });
        TimeZone::UTC
    });
    // A clock beyond the year 9999 tells no hour.
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    minute_in(&zone, now)
}

fn minute_in(zone: &TimeZone, at: Timestamp) -> Minute {
    let local = zone.to_datetime(at);
    let day = local.weekday().to_monday_zero_offset().unsigned_abs();
    let (hour, minute) = (local.hour(), local.minute());
    Minute::new(
        day,
        u16::from(hour.unsigned_abs()) * 60 + u16::from(minute.unsigned_abs()),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn in_berlin(time: &str) -> String {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        minute_in(&zone, time.parse().unwrap()).to_string()
    }

    #[test]
    fn an_hour_is_left_out_in_spring_and_comes_twice_in_autumn() {
        for (time, told) in [
            ("2027-03-28T00:59:59Z", "sun 01:59"),
            ("2027-03-28T01:00:00Z", "sun 03:00"),
            ("2027-10-31T00:59:59Z", "sun 02:59"),
            ("2027-10-31T01:00:00Z", "sun 02:00"),
            ("2027-10-31T02:00:00Z", "sun 03:00"),
            ("2027-11-01T06:59:30Z", "mon 07:59"),
            ("2027-12-31T23:30:00Z", "sat 00:30"),
        ] {
            assert_eq!(in_berlin(time), told, "{time}");
        }
    }

    #[test]
    fn this_machine_knows_a_minute() {
        let minute = local_minute();
        assert!(Minute::default().until(minute) < modmesh_protocol::rate::WEEK_MINUTES);
    }
}
