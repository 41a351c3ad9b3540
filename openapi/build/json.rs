//! Writes how each generated type is read from a tree of JSON and written as JSON: field by field, by its name.

use std::error::Error;
use std::fmt::Write as _;

use syn::{Attribute, Fields, Ident, Item, ItemEnum, ItemStruct};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The implementations for all types of a module.
pub fn generate(types: &str) -> Result<String> {
    let mut code = String::new();
    for item in syn::parse_file(types)?.items {
        match item {
            Item::Struct(item) => struct_code(&mut code, &item)?,
            Item::Enum(item) => enum_code(&mut code, &item)?,
            _ => {}
        }
    }
    Ok(code)
}

fn struct_code(code: &mut String, item: &ItemStruct) -> Result<()> {
    let name = &item.ident;
    let (reading, writing) = match &item.fields {
        Fields::Named(fields) => {
            let mut writing = "let mut entries = crate::write::Entries::new(text);".to_owned();
            let mut reading = "json.must_be_object(is_read); Self {".to_owned();
            for field in &fields.named {
                let field_name = field.ident.as_ref().ok_or("a field has a name")?;
                let entry = renamed(&field.attrs).unwrap_or_else(|| field_name.to_string());
                let may_miss = in_serde(&field.attrs, "skip_serializing_if").is_some();
                let add = if may_miss { "add_some" } else { "add" };
                write!(writing, "entries.{add}({entry:?}, &self.{field_name});")?;
                write!(
                    reading,
                    "{field_name}: crate::read::Read::read(json.entry({entry:?}), is_read),"
                )?;
            }
            (reading + "}", writing + "entries.end();")
        }
        Fields::Unnamed(_) => (
            "Self(crate::read::Read::read(json, is_read))".to_owned(),
            "self.0.write(text);".to_owned(),
        ),
        Fields::Unit => return Err(format!("{name} says nothing").into()),
    };
    implementation(code, name, &reading, &writing)
}

fn enum_code(code: &mut String, item: &ItemEnum) -> Result<()> {
    let variants = || item.variants.iter();
    let (reading, writing) = if variants().all(|variant| variant.fields.is_empty()) {
        let names = variants()
            .map(|variant| renamed(&variant.attrs).unwrap_or_else(|| variant.ident.to_string()));
        let names: Vec<String> = names.collect();
        let values = variants().map(|variant| format!("Self::{}", variant.ident));
        let values = values.collect::<Vec<_>>().join(",");
        (
            format!("[{values}][json.place(&{names:?}, is_read)]"),
            format!("crate::write::quoted({names:?}[*self as usize], text);"),
        )
    } else {
        // The first that can be read.
        let last = item.variants.len() - 1;
        let (mut reading, mut writing) = (String::new(), "match self {".to_owned());
        for (place, variant) in variants().enumerate() {
            let variant = &variant.ident;
            write!(writing, "Self::{variant}(value) => value.write(text),")?;
            if place == last {
                write!(
                    reading,
                    "Self::{variant}(crate::read::Read::read(json, is_read))"
                )?;
            } else {
                write!(
                    reading,
                    "let mut is_this = true; let value = crate::read::Read::read(json, &mut is_this);
                    if is_this {{ return Self::{variant}(value); }}",
                )?;
            }
        }
        (reading, writing + "}")
    };
    implementation(code, &item.ident, &reading, &writing)
}

fn implementation(code: &mut String, name: &Ident, reading: &str, writing: &str) -> Result<()> {
    writeln!(
        code,
        "impl crate::read::Read for {name} {{
        fn read(json: &crate::read::Json<'_>, is_read: &mut bool) -> Self {{ {reading} }} }}
        impl crate::write::Write for {name} {{ fn write(&self, text: &mut String) {{ {writing} }} }}"
    )?;
    Ok(())
}

/// The name that serde is told to use: the text in `serde(rename = "…")`.
fn renamed(attributes: &[Attribute]) -> Option<String> {
    let text = in_serde(attributes, "rename")?;
    let text = syn::parse_str::<syn::LitStr>(&text).ok()?;
    Some(text.value())
}

/// The value of a setting of serde's.
fn in_serde(attributes: &[Attribute], name: &str) -> Option<String> {
    let lists = attributes
        .iter()
        .filter_map(|attribute| attribute.meta.require_list().ok());
    let mut settings = lists
        .filter(|list| list.path.is_ident("serde"))
        .map(|list| {
            let mut tokens = list.tokens.clone().into_iter();
            tokens.find(|token| token.to_string() == name)?;
            Some(tokens.nth(1)?.to_string())
        });
    settings.find_map(|setting| setting)
}
