//! Writes how each generated type is read from a tree of JSON: field by field, by its name.

use std::error::Error;
use std::fmt::Write as _;

use proc_macro2::TokenTree;
use syn::{Attribute, Fields, Item, ItemEnum, ItemStruct};

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
    let body = match &item.fields {
        Fields::Named(fields) => {
            let mut body = "json.must_be_object(is_read); Self {".to_owned();
            for field in &fields.named {
                let field_name = field.ident.as_ref().ok_or("a field has a name")?;
                let entry = renamed(&field.attrs).unwrap_or_else(|| field_name.to_string());
                write!(
                    body,
                    "{field_name}: crate::read::Read::read(json.entry({entry:?}), is_read),"
                )?;
            }
            body + "}"
        }
        Fields::Unnamed(_) => "Self(crate::read::Read::read(json, is_read))".to_owned(),
        Fields::Unit => return Err(format!("{name} says nothing").into()),
    };
    implementation(code, name, &body)
}

fn enum_code(code: &mut String, item: &ItemEnum) -> Result<()> {
    let variants = || item.variants.iter();
    let body = if variants().all(|variant| variant.fields.is_empty()) {
        let names = variants()
            .map(|variant| renamed(&variant.attrs).unwrap_or_else(|| variant.ident.to_string()));
        let values = variants().map(|variant| format!("Self::{}", variant.ident));
        format!(
            "[{}][json.place(&{:?}, is_read)]",
            values.collect::<Vec<_>>().join(","),
            names.collect::<Vec<_>>()
        )
    } else {
        // The first that can be read.
        let last = item.variants.len() - 1;
        let mut body = String::new();
        for (place, variant) in variants().enumerate() {
            let variant = &variant.ident;
            if place == last {
                write!(
                    body,
                    "Self::{variant}(crate::read::Read::read(json, is_read))"
                )?;
            } else {
                write!(
                    body,
                    "let mut is_this = true; let value = crate::read::Read::read(json, &mut is_this);
                    if is_this {{ return Self::{variant}(value); }}",
                )?;
            }
        }
        body
    };
    implementation(code, &item.ident, &body)
}

fn implementation(code: &mut String, name: &syn::Ident, body: &str) -> Result<()> {
    writeln!(
        code,
        "impl crate::read::Read for {name} {{
        fn read(json: &crate::read::Json<'_>, is_read: &mut bool) -> Self {{ {body} }} }}"
    )?;
    Ok(())
}

/// The name that serde is told to use: the text in `serde(rename = "…")`.
fn renamed(attributes: &[Attribute]) -> Option<String> {
    let lists = attributes
        .iter()
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .filter(|list| list.path.is_ident("serde"));
    for list in lists {
        let mut tokens = list.tokens.clone().into_iter();
        let is_rename = |token: TokenTree| token.to_string() == "rename";
        if tokens.any(is_rename) {
            let text = tokens.nth(1)?.to_string();
            return syn::parse_str::<syn::LitStr>(&text)
                .ok()
                .map(|text| text.value());
        }
    }
    None
}
