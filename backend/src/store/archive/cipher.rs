//! Encryption as age does it (<https://age-encryption.org/v1>), so that its tools open a backup without us.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use age::scrypt;
use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};

use super::ArchiveError;

/// What an encrypted file begins with.
const MAGIC: &[u8] = b"age-encryption.org/v1";
/// 2^16 rounds take 64 MiB of memory for a moment: what a container of 256 MiB can spare.
const WORK_FACTOR: u8 = 16;
/// A file that asks for more than 1 GiB is not one of ours.
const MAX_WORK_FACTOR: u8 = 20;

/// What a backup is encrypted with.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Of a text, which must not be empty.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase")
    }
}

/// Where an archive goes: as it is, or encrypted.
pub enum Sealed<W: Write> {
    /// As it is.
    Plain(W),
    /// Encrypted.
    Encrypted(StreamWriter<W>),
}

impl<W: Write> Sealed<W> {
    /// Begins a file, encrypted where there is a passphrase.
    ///
    /// # Errors
    /// The output's.
    pub fn new(output: W, passphrase: Option<&Passphrase>) -> Result<Self, ArchiveError> {
        let Some(Passphrase(passphrase)) = passphrase else {
            return Ok(Self::Plain(output));
        };
        let mut recipient = scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(WORK_FACTOR);
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients)
            .map_err(|error| ArchiveError::Encrypt(error.to_string()))?;
        let writer = encryptor.wrap_output(output).map_err(ArchiveError::Write)?;
        Ok(Self::Encrypted(writer))
    }

    /// Ends the file; without this it is damaged.
    ///
    /// # Errors
    /// The output's.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Encrypted(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Encrypted(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Encrypted(writer) => writer.flush(),
        }
    }
}

/// Where an archive comes from.
pub enum Source<R: BufRead> {
    Plain(R),
    Encrypted(StreamReader<R>),
}

impl<R: BufRead> Source<R> {
    /// Looks at how a file begins, and opens what is encrypted.
    pub fn open(mut input: R, passphrase: Option<&Passphrase>) -> Result<Self, ArchiveError> {
        let begin = input
            .fill_buf()
            .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        if !begin.starts_with(MAGIC) {
            return Ok(Self::Plain(input));
        }
        let Some(Passphrase(passphrase)) = passphrase else {
            return Err(ArchiveError::NoPassphrase);
        };
        let mut identity = scrypt::Identity::new(passphrase.clone());
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let decryptor =
            age::Decryptor::new_buffered(input).map_err(|_| ArchiveError::WrongPassphrase)?;
        let reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(|_| ArchiveError::WrongPassphrase)?;
        Ok(Self::Encrypted(reader))
    }
}

impl<R: BufRead> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Encrypted(reader) => reader.read(buffer),
        }
    }
}
