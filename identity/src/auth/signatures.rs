//! Amazon's signatures of requests, as those who take such requests hand them on to Identity: of EC2's kind the parts of the
//! request come, of S3's the text that was signed. As in keystoneclient's `contrib/ec2/utils.py` and Keystone's
//! `api/s3tokens.py`.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::Sha256;

use crate::db::sha256_hex;

type HmacSha1 = Hmac<Sha1>;
type HmacSha256 = Hmac<Sha256>;

const V4: &str = "AWS4-HMAC-SHA256";

/// What stays as it is in a query that is signed.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is URL-safe or not, padded or not: clients send each.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request that was signed, as far as its signature is about it.
#[derive(Debug)]
pub(super) struct SignedRequest<'a> {
    pub(super) verb: &'a str,
    /// With the port, if it is in the URL.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) params: Option<&'a Map<String, Value>>,
    pub(super) headers: Option<&'a Map<String, Value>>,
    /// SHA-256 of the body, in hexadecimal digits.
    pub(super) body_hash: &'a str,
}

/// Whether `signature` is that of a request, by version 2 or 4 of Amazon's way. The older ones protect nothing.
pub(super) fn signs_request(secret: &str, request: &SignedRequest<'_>, signature: &str) -> bool {
    if request.param("SignatureVersion").as_deref() == Some("2") {
        let host = request.host;
        // Some clients sign without the port.
        let bare = host.rsplit_once(':').map(|(name, _)| name.trim_matches(['[', ']']).to_lowercase());
        return std::iter::once(host).chain(bare.as_deref()).any(|host| signs_v2(secret, request, host, signature));
    }
    signs_v4(secret, request, signature).unwrap_or(false)
}

/// Whether `signature` is that of this text, which is encoded in base64: by version 4 for S3 and its like, or the first.
pub(super) fn signs_text(secret: &str, text: &str, signature: &str) -> bool {
    let Ok(text) = BASE64.decode(text.replace('-', "+").replace('_', "/")) else { return false };
    if !text.starts_with(b"AWS4") {
        return BASE64.decode(signature).is_ok_and(|signature| {
            keyed::<HmacSha1>(secret.as_bytes()).chain_update(&text).verify_slice(&signature).is_ok()
        });
    }
    let Ok(text) = std::str::from_utf8(&text) else { return false };
    let [V4, _, scope, _] = text.split('\n').collect::<Vec<_>>()[..] else { return false };
    let [date, region, service @ ("s3" | "iam" | "sts"), "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..]
    else {
        return false;
    };
    signs_with_derived_key(secret, [date, region, service], text, signature)
}

fn signs_v2(secret: &str, request: &SignedRequest<'_>, host: &str, signature: &str) -> bool {
    let mut params = request.params.cloned().unwrap_or_default();
    params.insert("SignatureMethod".to_owned(), "HmacSHA256".into());
    let text = format!("{}\n{host}\n{}\n{}", request.verb, request.path, canonical_query(&params));
    BASE64.decode(signature).is_ok_and(|signature| {
        keyed::<HmacSha256>(secret.as_bytes()).chain_update(text).verify_slice(&signature).is_ok()
    })
}

/// `None`: something is missing or does not fit.
fn signs_v4(secret: &str, request: &SignedRequest<'_>, signature: &str) -> Option<bool> {
    let authorization = request.header("Authorization");
    let in_header = authorization.as_ref().is_some_and(|text| text.starts_with(V4));
    if !in_header && request.param("X-Amz-Algorithm").as_deref() != Some(V4) {
        return None;
    }
    let part = |name: &str| match &authorization {
        Some(text) => Some(text.split_once(&format!("{name}="))?.1.split(',').next()?.to_owned()),
        None => request.param(&format!("X-Amz-{name}")),
    };
    let (credential, signed_headers) = (part("Credential")?, part("SignedHeaders")?);
    let date = request.header("X-Amz-Date").or_else(|| request.param("X-Amz-Date"))?;
    let (_, scope) = credential.split_once('/')?;
    let [day, region, service, ..] = scope.split('/').collect::<Vec<_>>()[..] else { return None };
    if day.is_empty() || !date.starts_with(day) {
        return None;
    }
    let query = match request.verb.eq_ignore_ascii_case("post") {
        true => String::new(),
        false => canonical_query(request.params.unwrap_or(&Map::new())),
    };
    let headers: String = signed_headers
        .split(';')
        .filter_map(|name| Some(format!("{name}:{}\n", request.header(name)?.trim())))
        .collect();
    let canonical = [
        &request.verb.to_uppercase(),
        request.path,
        &query,
        headers.strip_suffix('\n').unwrap_or_default(),
        "",
        &signed_headers,
        request.body_hash,
    ]
    .join("\n");
    let text = format!("{V4}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    Some(signs_with_derived_key(secret, [day, region, service], &text, signature))
}

fn signs_with_derived_key(secret: &str, scope: [&str; 3], text: &str, signature: &str) -> bool {
    let sign = |key: &[u8], text: &str| keyed::<HmacSha256>(key).chain_update(text).finalize().into_bytes();
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.into_iter().chain(["aws4_request"]) {
        key = sign(&key, part).to_vec();
    }
    unhex(signature)
        .is_some_and(|signature| keyed::<HmacSha256>(&key).chain_update(text).verify_slice(&signature).is_ok())
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of any length will do"))
}

fn canonical_query(params: &Map<String, Value>) -> String {
    let mut sorted: Vec<_> = params.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let encoded = |text: &str| utf8_percent_encode(text, &UNRESERVED).to_string();
    let pairs = sorted.into_iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(&text_of(value))));
    pairs.collect::<Vec<_>>().join("&")
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() {
        return None;
    }
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

impl<'a> SignedRequest<'a> {
    /// What is handed on of it. What is missing is empty, which no signature fits.
    pub(super) fn read(given: &'a Map<String, Value>) -> Self {
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        let map = |name: &str| given.get(name).and_then(Value::as_object);
        Self {
            verb: text("verb"),
            host: text("host"),
            path: text("path"),
            params: map("params"),
            headers: map("headers"),
            body_hash: text("body_hash"),
        }
    }

    pub(super) fn param(&self, name: &str) -> Option<String> {
        self.params?.get(name).map(text_of)
    }

    /// By whatever case of the letters.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let mut found = self.headers?.iter().filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| text_of(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    // Made by keystoneclient's signer, as those of tests/oracle/identity/signatures.json.
    const SECRET: &str = "verysecret";
    const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn requests() -> Vec<(Value, &'static str)> {
        let in_header = json!({
            "Host": "ec2.example.org:8788", "X-Amz-Date": "20991130T120000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=oracle-key/20991130/region/ec2/aws4_request, \
                              SignedHeaders=host;x-amz-date, Signature=x",
        });
        let in_query = json!({
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "oracle-key/20991130/region/ec2/aws4_request",
            "X-Amz-Date": "20991130T120000Z", "X-Amz-SignedHeaders": "host", "Action": "Z",
        });
        let request =
            |verb: &str, params: Value, headers: Value| json!({"verb": verb, "params": params, "headers": headers});
        let v2 = json!({"SignatureVersion": "2", "Action": "DescribeInstances", "Filter.1.Value": "a b/c~é"});
        vec![
            (request("GET", v2, json!({})), "6k7uyG3e5+nkf0k+ZazXVlHyiXFpKGBFBJoAPIKn7S8="),
            // Signed without the port.
            (
                request("GET", json!({"SignatureVersion": "2", "Action": "X"}), json!({})),
                "5aFhqJ0TdG3X1xQOEA1hHaFSp2D8GmlVYvb/1eP7GQQ=",
            ),
            (
                request("GET", json!({"Action": "Y", "Version": "2016-11-15"}), in_header.clone()),
                "ce6eeac556ebe8dceeaaeb06193d0b669c84183dee112f1786b4e9fccec16643",
            ),
            (
                request("POST", json!({"Action": "Y"}), in_header),
                "cf4fd6112faef8b32133796d839eeaa43840548d6a3fce5ed864f21b02f59ed3",
            ),
            (
                request("GET", in_query, json!({"host": "ec2.example.org"})),
                "718ce750181edae86034ba95edc53c0602af2d26b4dc1ac81cfd8a1749bcc4e1",
            ),
        ]
    }

    fn signs(secret: &str, request: &Value, signature: &str) -> bool {
        let signed = SignedRequest {
            verb: request["verb"].as_str().unwrap(),
            host: "ec2.example.org:8788",
            path: "/services/Cloud",
            params: request["params"].as_object(),
            headers: request["headers"].as_object(),
            body_hash: EMPTY_BODY,
        };
        signs_request(secret, &signed, signature)
    }

    #[test]
    fn a_signature_is_that_of_one_request_and_one_secret() {
        for (request, signature) in requests() {
            assert!(signs(SECRET, &request, signature), "{request}");
            assert!(!signs("another", &request, signature), "{request}");
            let mut other = request.clone();
            other["params"]["Action"] = "Other".into();
            // Version 4 signs the query of a POST with its body.
            assert_eq!(signs(SECRET, &other, signature), request["verb"] == "POST", "{request}");
            other["verb"] = "DELETE".into();
            assert!(!signs(SECRET, &other, signature), "{request}");
        }
    }

    #[test]
    fn a_text_is_signed_as_by_s3() {
        let first = "R0VUCgoKVGh1LCAxNyBOb3YgMjAwNSAxODo0OTo1OCBHTVQKL2J1Y2tldC8_PsOp";
        let fourth = "QVdTNC1ITUFDLVNIQTI1NgoyMDk5MTEzMFQxMjAwMDBaCjIwOTkxMTMwL3JlZ2lvbi9zMy9hd3M0X3JlcXVlc3QKMmQ3MTE2NDJiNzI2YjA\
                      0NDAxNjI3Y2E5ZmJhYzMyZjVjODUzMGZiMTkwM2NjNGRiMDIyNTg3MTc5MjFhNDg4MQ==";
        let signatures =
            ["Nd1oHdHuZi1yGLH5wpbeTaE2P6E=", "960315f0325019ba2e2d1dd01619ba729c81a01d030731708a9092291a5dcff8"];
        for (text, own) in [(first, signatures[0]), (fourth, signatures[1])] {
            for signature in signatures {
                assert_eq!(signs_text(SECRET, text, signature), signature == own, "{text}");
            }
            assert!(!signs_text("another", text, own), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_refused_without_a_panic(text in ".{0,60}", signature in ".{0,60}", name in "Authorization|X-Amz-Date|x") {
            let headers = json!({&name: &text, "Authorization": format!("{V4} {text}")});
            let params = json!({&name: &text, "X-Amz-Credential": &text, "X-Amz-SignedHeaders": &text});
            let request = json!({"verb": &text, "params": params, "headers": headers});
            prop_assert!(!signs(SECRET, &request, &signature));
            prop_assert!(!signs_text(SECRET, &text, &signature));
        }
    }
}
