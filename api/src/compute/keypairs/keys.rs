//! Public keys as text, their fingerprints, and new pairs (nova/crypto.py).

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{Timestamp, tz::TimeZone};
use md5::{Digest, Md5};
use novella_rest::{ApiError, Microversion, wrong};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, OtherNameValue, SanType,
    date_time_ymd,
};
use sha1::Sha1;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, rand_core::OsRng};

/// A key pair's name: letters, digits, spaces and `_-`; from 2.92 on `@` and `.` too.
///
/// # Errors
/// 400 if it is none.
pub(super) fn checked_name(name: String, version: Microversion) -> Result<String, ApiError> {
    let more = |c: char| version.at_least(92) && matches!(c, '@' | '.');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ') || more(c);
    if (1..=255).contains(&name.len()) && name.trim() == name && name.chars().all(plain) {
        return Ok(name);
    }
    let allowed = if version.at_least(92) { "_-@." } else { "_-" };
    let reason = format!(
        "It must have 1 to 255 letters, digits, spaces and characters of {allowed}, and no space at either end."
    );
    Err(wrong("keypair.name", &name.into(), &reason))
}

/// The fingerprint of an OpenSSH public key, as Nova shows it: MD5, in pairs of digits.
///
/// # Errors
/// 400 for what is no public key.
pub(super) fn fingerprint(public_key: &str) -> Result<String, ApiError> {
    let key = PublicKey::from_openssh(public_key.trim()).and_then(|key| key.to_bytes());
    let key = key.map_err(|_| ApiError::bad_request("Keypair data is invalid: failed to generate fingerprint"))?;
    Ok(in_pairs(&Md5::digest(key)))
}

/// The fingerprint of a certificate in PEM: SHA-1, in pairs of digits.
///
/// # Errors
/// 400 for what is no certificate.
pub(super) fn x509_fingerprint(pem: &str) -> Result<String, ApiError> {
    let invalid = || ApiError::bad_request("Keypair data is invalid: failed to generate X509 fingerprint.");
    let rest = pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----").ok_or_else(invalid)?;
    let (text, _) = rest.split_once("-----END CERTIFICATE-----").ok_or_else(invalid)?;
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = BASE64_STANDARD.decode(text).map_err(|_| invalid())?;
    Ok(in_pairs(&Sha1::digest(der)))
}

/// A new pair: the public key, and the private key, which is kept nowhere.
///
/// # Errors
/// 503 if the system gives no random numbers.
pub(super) fn generate() -> Result<(String, String), ApiError> {
    let made = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).and_then(|mut key| {
        key.set_comment("Generated-by-Novella");
        Ok((key.public_key().to_openssh()?, key.to_openssh(LineEnding::LF)?.to_string()))
    });
    made.map_err(|error| {
        tracing::error!(%error, "no key pair could be made");
        ApiError::Unavailable("No key pair can be made at present. Please try again.".into())
    })
}

/// A new certificate that a user logs in with, and its private key, which is kept nowhere.
///
/// # Errors
/// 503 if the system gives no random numbers.
pub(super) fn generate_x509(user_id: &str) -> Result<(String, String), ApiError> {
    /// The object id of a user's principal name, which Windows knows users by.
    const PRINCIPAL_NAME: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
    const YEARS: i16 = 10;
    let made = KeyPair::generate().and_then(|key| {
        let mut certificate = CertificateParams::default();
        certificate.distinguished_name = DistinguishedName::new();
        certificate.distinguished_name.push(DnType::CommonName, user_id);
        let name = OtherNameValue::Utf8String(format!("{user_id}@localhost"));
        certificate.subject_alt_names = vec![SanType::OtherName((PRINCIPAL_NAME.to_vec(), name))];
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let year = Timestamp::now().to_zoned(TimeZone::UTC).year();
        certificate.not_before = date_time_ymd(i32::from(year), 1, 1);
        certificate.not_after = date_time_ymd(i32::from(year + YEARS), 1, 1);
        Ok((certificate.self_signed(&key)?.pem(), key.serialize_pem()))
    });
    made.map_err(|error| {
        tracing::error!(%error, "no certificate could be made");
        ApiError::Unavailable("No certificate can be made at present. Please try again.".into())
    })
}

fn in_pairs(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_has_the_fingerprint_of_its_text() {
        let (public, private) = generate().unwrap();
        assert!(public.starts_with("ssh-ed25519 ") && private.contains("BEGIN OPENSSH PRIVATE KEY"));
        let fingerprint = fingerprint(&public).unwrap();
        assert_eq!((fingerprint.len(), fingerprint.matches(':').count()), (47, 15));
    }

    #[test]
    fn a_known_key_has_the_fingerprint_that_ssh_keygen_prints() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio comment";
        assert_eq!(fingerprint(key).unwrap(), "b0:25:8a:c8:70:d7:5a:3b:19:03:f4:63:ff:9b:12:f3");
        for (key, expected) in [
            (
                "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPbr/1xeVPLY6on9/gCvVJ94el1qiO3VQh8HIti1+d8SKSjtD6rI3j6LVPMaYznUwMRD0bpM64qvXoz0+rMW2iw=",
                "f7:8e:42:89:9b:96:b2:0c:94:3b:a0:e6:7f:7f:82:b4",
            ),
            (
                "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBOuqe7uk/qMTBZbOs3iYb8s9AjcLJRNj6xrkLeUU6raWq0+2XwPR/SOR96rk+gi33buH3Q11FD0FfKiYHbm9qIDd50MaEsoIky2JLnpxIWq4yeZopANh8YSE5JHcpQEiJg==",
                "c8:50:82:e4:e9:5c:4f:c0:d1:b9:06:52:ea:89:26:fc",
            ),
            (
                "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEEtII8zK7JphOEyQNG+WRQatC9Sv9p635OeTCcoAZ1eWsIgOQuTgXu8MEjkuTH/cwVUyDvTUEKlPMWHZVHfvyJhwFSC/unEicvQKP9yNSDZBtyCO1LvEHMPtTLwSmjMnm52ugy2xjKjyWDjtnDwgsm41+ZWtYA/d9CKJ+HyQA3f+Y5PA==",
                "6c:68:58:66:04:7e:fd:1d:c5:35:e1:e7:6e:fc:6d:33",
            ),
        ] {
            assert_eq!(fingerprint(key).unwrap(), expected);
        }
        for nonsense in ["", "ssh-rsa", "ssh-rsa AAAA", "nonsense"] {
            assert!(fingerprint(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_certificate_that_was_made_has_a_fingerprint() {
        let (certificate, private) = generate_x509("0123abcd").unwrap();
        assert!(certificate.contains("BEGIN CERTIFICATE") && private.contains("BEGIN PRIVATE KEY"));
        assert_eq!(x509_fingerprint(&certificate).unwrap().len(), 59);
    }

    #[test]
    fn names_have_more_characters_from_2_92_on() {
        let takes = |minor, name: &str| checked_name(name.into(), Microversion::new(2, minor)).is_ok();
        assert!(takes(1, "my key_1-2") && !takes(91, "me@host.org") && takes(92, "me@host.org"));
        assert!(!takes(92, "") && !takes(92, " a") && !takes(92, "a/b") && !takes(92, "ä"));
    }
}
