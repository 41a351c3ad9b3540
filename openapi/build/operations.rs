//! Writes one type for each operation of the document: what is sent and what comes back, without a way to send it.

use std::error::Error;
use std::fmt::Write as _;

use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Words that parameters may be called and Rust keeps for itself.
const KEYWORDS: [&str; 7] = ["type", "match", "in", "for", "where", "as", "ref"];

/// The type in which a text is given.
const TEXT: &str = "&'a str";

/// The code of the module `operations`, and of the lists that come in pages.
pub fn generate(document: &Value) -> Result<String> {
    let mut code = String::new();
    let server = text(&document["servers"][0]["url"])?;
    for (path, item) in map(&document["paths"])? {
        for (method, operation) in map(item)? {
            operation_code(&mut code, method, &format!("{server}{path}"), operation)
                .map_err(|error| format!("{method} {path}: {error}"))?;
        }
    }
    for (name, schema) in map(&document["components"]["schemas"])? {
        let properties = &schema["properties"];
        if let (Some(items), Some(_)) = (properties.get("items"), properties.get("next_cursor")) {
            writeln!(
                code,
                "impl crate::Page for types::{} {{ type Item = {};
                fn into_parts(self) -> (Vec<Self::Item>, Option<String>) {{ (self.items, self.next_cursor) }} }}",
                pascal(name),
                schema_type(&items["items"])?,
            )?;
        }
    }
    Ok(code)
}

fn operation_code(code: &mut String, method: &str, path: &str, operation: &Value) -> Result<()> {
    let Some(answer) = answer(operation)? else {
        return Ok(());
    };
    let function = text(&operation["operationId"])?;
    let name = pascal(function);
    let mut arguments = Vec::new();
    let mut steps = String::new();
    let mut setters = String::new();
    // Every other part stands in braces.
    for (place, part) in path.split(['{', '}']).enumerate() {
        match place % 2 {
            _ if part.is_empty() => {}
            0 => writeln!(steps, "request.path({part:?});")?,
            _ => writeln!(steps, "request.value(&{});", identifier(part))?,
        }
    }
    let parameters = operation["parameters"].as_array();
    for parameter in parameters.into_iter().flatten() {
        let name = text(&parameter["name"])?;
        let argument = identifier(name);
        let of_schema = &parameter["schema"];
        let is_list = of_schema["type"] == "array";
        let of_value = if is_list {
            &of_schema["items"]
        } else {
            of_schema
        };
        let kind = match parameter_type(of_value)? {
            // Of texts that are owned or borrowed.
            kind if is_list && kind == TEXT => "impl std::fmt::Display".to_owned(),
            kind => kind,
        };
        let step = format!("request.query({name:?}, &value);");
        match (text(&parameter["in"])?, parameter["required"] == true) {
            ("path", _) => arguments.push(format!("{argument}: {kind}")),
            ("query", true) if is_list => {
                arguments.push(format!("{argument}: &[{kind}]"));
                writeln!(steps, "for value in {argument} {{ {step} }}")?;
            }
            ("query", true) => {
                arguments.push(format!("{argument}: {kind}"));
                writeln!(steps, "let value = {argument}; {step}")?;
            }
            ("query", false) => {
                let (given, each) = if is_list {
                    (format!("&[{kind}]"), "for value in given")
                } else {
                    (
                        format!("impl Into<Option<{kind}>>"),
                        "if let Some(value) = given.into()",
                    )
                };
                writeln!(
                    setters,
                    "#[doc = {:?}] #[must_use]
                    pub fn {argument}<'a>(mut self, given: {given}) -> Self {{ let request = &mut self.0; {each} {{ {step} }} self }}",
                    parameter["description"].as_str().unwrap_or(name),
                )?;
            }
            (place, _) => return Err(format!("no parameter is sent in a {place}").into()),
        }
    }
    let content = &operation["requestBody"]["content"];
    if !content.is_null() {
        let kind = schema_type(&content["application/json"]["schema"])?;
        arguments.push(format!("body: &{kind}"));
        writeln!(steps, "request.body(body);")?;
    }
    let summary = operation["summary"].as_str().unwrap_or(function);
    writeln!(
        code,
        "#[doc = {summary:?}] #[must_use]
        pub fn {function}<'a>({arguments}) -> {name} {{ let mut request = Request::new({method:?}); {steps} {name}(request) }}
        #[doc = \"The request of [`{function}`].\"] #[derive(Clone, Debug)] pub struct {name}(Request);
        impl {name} {{ {setters} }}
        impl Operation for {name} {{ type Answer = {answer}; fn into_request(self) -> Request {{ self.0 }} }}",
        arguments = arguments.join(", "),
        method = method.to_uppercase(),
    )?;
    Ok(())
}

/// The type of a success; none if it is not JSON, which these operations do not speak.
fn answer(operation: &Value) -> Result<Option<String>> {
    let success = map(&operation["responses"])?
        .iter()
        .find(|(status, _)| status.starts_with('2'));
    let (_, success) = success.ok_or("no success is described")?;
    match success.get("content").and_then(Value::as_object) {
        Some(content) if !content.is_empty() => content
            .get("application/json")
            .map(|json| schema_type(&json["schema"]))
            .transpose(),
        _ => Ok(Some("()".to_owned())),
    }
}

/// The type of a body, which the generator has made from the same schema.
fn schema_type(schema: &Value) -> Result<String> {
    let reference = schema["$ref"].as_str();
    if let Some(reference) = reference.or_else(|| schema["allOf"][0]["$ref"].as_str()) {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return Ok(format!("types::{}", pascal(name)));
    }
    match schema["type"].as_str() {
        Some("array") => Ok(format!("Vec<{}>", schema_type(&schema["items"])?)),
        Some("string") => Ok("String".to_owned()),
        _ => Err(format!("a body is of no named type: {schema}").into()),
    }
}

/// The type in which a parameter's value is given.
fn parameter_type(schema: &Value) -> Result<String> {
    let kind = match (schema["type"].as_str(), schema["format"].as_str()) {
        (None, _) => return schema_type(schema),
        (Some("string"), Some("uuid")) => "::uuid::Uuid",
        (Some("string"), _) => TEXT,
        (Some("integer"), _) if schema["minimum"].as_f64() >= Some(0.0) => "u64",
        (Some("integer"), _) => "i64",
        (Some("number"), _) => "f64",
        (Some("boolean"), _) => "bool",
        _ => return Err(format!("no parameter is of this type: {schema}").into()),
    };
    Ok(kind.to_owned())
}

fn identifier(name: &str) -> String {
    let mut name = name.replace('-', "_");
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// `Page_Host` and `list_hosts` as Rust names types.
fn pascal(name: &str) -> String {
    name.split(['_', '-'])
        .filter_map(|word| {
            let first = word.chars().next()?;
            let rest = &word[first.len_utf8()..];
            Some(format!("{}{rest}", first.to_uppercase()))
        })
        .collect()
}

fn map(value: &Value) -> Result<&Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| format!("this is no object: {value}").into())
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .ok_or_else(|| format!("this is no text: {value}").into())
}
