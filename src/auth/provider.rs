//! HMAC for jsonwebtoken, and nothing else.
//!
//! jsonwebtoken's own provider brings RSA, elliptic curves and a random number generator, which
//! would cost a server that uses HMAC alone their size and their security advisories.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm as Name, EncodingKey};
use signature::Signer;

use super::mac::{Algorithm, Mac, Secret};

static HMAC_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    // Tokens are verified by `token`, with a key that is prepared once.
    verifier_factory: |_, _| Err(Error::from(ErrorKind::InvalidAlgorithm)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs the provider; must be called before jsonwebtoken signs.
pub fn install() {
    let _ = HMAC_ONLY.install_default(); // it is installed already
}

fn signer(name: &Name, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let algorithm = match name {
        Name::HS256 => Algorithm::HS256,
        Name::HS384 => Algorithm::HS384,
        Name::HS512 => Algorithm::HS512,
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    let mac = Mac::new(&Secret::new(key.as_bytes().to_vec()), algorithm);
    Ok(Box::new(HmacSigner { mac, algorithm }))
}

struct HmacSigner {
    mac: Mac,
    algorithm: Algorithm,
}

impl Signer<Vec<u8>> for HmacSigner {
    fn try_sign(&self, text: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.mac.sign(text))
    }
}

impl JwtSigner for HmacSigner {
    fn algorithm(&self) -> Name {
        self.algorithm.into()
    }
}
