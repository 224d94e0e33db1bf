//! Why a request failed, in words for the person who reads it.
//!
//! The kind of failure is decided by the types in the error's chain; texts of libraries are only passed on. A
//! certificate outside its dates is most often a wrong clock on this host, so that text shows the clock.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::CertificateError;

/// The reason behind a failed request.
pub(super) fn of(error: &hyper_util::client::legacy::Error) -> String {
    match error.source() {
        Some(source) => of_chain(source),
        None => error.to_string(),
    }
}

/// The reason behind a broken body.
pub(super) fn of_body(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "the body ended before its announced length".to_owned();
    }
    format!("the body broke off: {}", of_chain(error))
}

fn of_chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return of_tls(tls);
        }
        // An io::Error does not name what it wraps as its source, only that one's source.
        if let Some(wrapped) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            next = Some(wrapped);
            continue;
        }
        let text = error.to_string();
        // Many errors repeat the text of what they wrap.
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

fn of_tls(error: &rustls::Error) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(fault) = error else {
        return format!("TLS failed: {error}");
    };
    let (what, bound) = match fault {
        Expired => ("has expired", None),
        ExpiredContext { not_after, .. } => ("expired on", Some(not_after.as_secs())),
        NotValidYet => ("is not valid yet", None),
        NotValidYetContext { not_before, .. } => ("is valid only from", Some(not_before.as_secs())),
        CertificateError::UnknownIssuer => {
            return "its certificate is signed by an authority that this host does not know: \
                    install that authority, or set SSL_CERT_FILE"
                .to_owned();
        }
        _ => return format!("its certificate is not accepted: {error}"),
    };
    let bound = bound
        .map(|seconds| format!(" {}", date(seconds)))
        .unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    format!(
        "its certificate {what}{bound}, and this host's clock says {}: set the clock if that is wrong",
        date(now.as_secs())
    )
}

/// `2026-11-22 10:30 UTC` for seconds since 1970.
fn date(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Year, month and day of the day with this number since 1970 (Gregorian calendar), counted in years that begin in
/// March so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_709_251_140, "2024-02-29 23:59 UTC"),
            (1_795_343_400, "2026-11-22 10:30 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn a_certificate_outside_its_dates_blames_the_clock_with_its_date() {
        for fault in [CertificateError::NotValidYet, CertificateError::Expired] {
            let wrapped = io::Error::other(rustls::Error::InvalidCertificate(fault));
            let text = of_chain(&io::Error::other(wrapped));
            assert!(text.contains("this host's clock says 20"), "{text}");
        }
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(!of_chain(&unknown).contains("clock"));
    }
}
