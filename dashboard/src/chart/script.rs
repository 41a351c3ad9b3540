//! Values as scripts take them, and what they may call.

use std::any::Any;

use js_sys::{Object, Reflect};
use wasm_bindgen::closure::WasmClosure;
use wasm_bindgen::prelude::*;

/// Closures that JavaScript calls; they must live as long as it may.
pub type Kept = Vec<Box<dyn Any>>;

/// An object out of names and values.
pub fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in entries {
        // A property of a plain object can always be set.
        let _ = Reflect::set(&object, &JsValue::from(*name), value);
    }
    object.into()
}

/// A property, or `undefined`.
pub fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// The function behind a closure, which is kept.
pub fn keep<T: WasmClosure + ?Sized + 'static>(
    closure: Closure<T>,
    closures: &mut Kept,
) -> JsValue {
    let function = closure.as_ref().clone();
    closures.push(Box::new(closure));
    function
}

/// A property of the stylesheet, as it is in the theme that holds.
pub fn style(name: &str) -> String {
    let root = web_sys::window().and_then(|window| {
        let root = window.document()?.document_element()?;
        window.get_computed_style(&root).ok().flatten()
    });
    root.and_then(|style| style.get_property_value(name).ok())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
