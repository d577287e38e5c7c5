//! Tokens that were got with less than the user's own word: they do what they were made for, and make nothing that lasts
//! longer (keystone/api/_shared/delegation.py).

use novella_rest::Token;

/// The method of tokens that were got by an access key of EC2's kind.
pub(crate) const EC2: &str = "ec2credential";

/// The methods by which a user says himself who he is.
const PRIMARY: [&str; 2] = ["password", "token"];

/// Whether a token was lent: by a trust, an application credential or an access key.
pub(crate) fn is_delegated(token: &Token) -> bool {
    token.trust.is_some()
        || token.application_credential.is_some()
        || token.methods.iter().any(|method| !PRIMARY.contains(&method.as_str()))
}
