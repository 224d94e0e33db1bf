//! Why a request failed, in words for the person who reads it.
//!
//! The kind of failure is decided by the types in the error's chain; texts of libraries are only passed on. A
//! certificate outside its dates is most often a wrong clock on this host, so that text shows the clock.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modmesh_protocol::control::rfc3339;
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
    let text = rfc3339(unix_seconds);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or(time))
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
