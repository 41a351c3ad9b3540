//! Generates the client and the operations from the published document.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use progenitor::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::Value;

#[path = "build/json.rs"]
mod json;
#[path = "build/operations.rs"]
mod operations;

/// What the generator writes for every status that comes with a problem.
const PROBLEM: &str =
    "=> { Err (Error :: ErrorResponse (ResponseValue :: from_response (response) . await ?)) }";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=openapi.json");
    let mut document: Value = serde_json::from_str(&fs::read_to_string("openapi.json")?)?;
    // The generator types bodies of application/json alone; the published document stays as it is.
    rename_key(
        &mut document,
        "application/problem+json",
        "application/json",
    );
    // Checking patterns would carry an engine of regular expressions to every browser; the backend checks them.
    remove_key(&mut document, "pattern");
    let operations = operations::generate(&document)?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder);
    settings.with_inner_type("crate::Credentials".parse()?);
    settings.with_pre_hook("crate::credentials::authorize".parse()?);
    let mut generator = Generator::new(&settings);
    let client = generator.generate_tokens(&serde_json::from_value(document)?)?;
    let types = generator.get_type_space().to_stream().to_string();
    // The types stand for themselves, so that who brings a transport can do without the client.
    let client = client.to_string();
    let (before, after) = client
        .split_once(&format!("pub mod types {{ {types} }}"))
        .ok_or("the client holds its types in a module")?;
    let client = format!("{before} pub use crate :: types ; {after}");
    let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?;
    let write = |name: &str, code: &str| fs::write(Path::new(&out).join(name), code);
    write("client.rs", &merge_problems(&client))?;
    write("operations.rs", &operations)?;
    write("types.rs", &format!("{types}{}", json::generate(&types)?))?;
    Ok(())
}

/// Gives neighbouring statuses that come with a problem one arm: each arm waits for the body by itself, which every
/// operation would carry to every browser a dozen times.
fn merge_problems(code: &str) -> String {
    let mut parts = code.split(PROBLEM).peekable();
    let mut merged = String::with_capacity(code.len());
    while let Some(part) = parts.next() {
        merged.push_str(part);
        if let Some(next) = parts.peek() {
            let is_status = next.trim_start().starts_with(|c: char| c.is_ascii_digit());
            merged.push_str(if is_status { "|" } else { PROBLEM });
        }
    }
    merged
}

fn rename_key(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(map) => {
            if let Some(inner) = map.remove(from) {
                map.insert(to.to_owned(), inner);
            }
            map.values_mut()
                .for_each(|inner| rename_key(inner, from, to));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|inner| rename_key(inner, from, to)),
        _ => {}
    }
}

fn remove_key(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            if map.get(key).is_some_and(Value::is_string) {
                map.remove(key);
            }
            map.values_mut().for_each(|inner| remove_key(inner, key));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| remove_key(inner, key)),
        _ => {}
    }
}
