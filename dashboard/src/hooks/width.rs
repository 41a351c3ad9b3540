//! How wide an element is on the screen.

use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::{Element, ResizeObserver};
use yew::prelude::*;

/// The element's width in CSS pixels, again whenever it changes; 0 until it is known.
#[hook]
pub fn use_width(node: &NodeRef) -> f64 {
    let width = use_state_eq(|| 0.0);
    use_effect_with((), {
        let (node, width) = (node.clone(), width.setter());
        move |()| {
            let element = node.cast::<Element>();
            let measure = Closure::<dyn Fn()>::new({
                let element = element.clone();
                move || {
                    if let Some(element) = &element {
                        width.set(element.get_bounding_client_rect().width());
                    }
                }
            });
            let observer = ResizeObserver::new(measure.as_ref().unchecked_ref()).ok();
            if let (Some(observer), Some(element)) = (&observer, &element) {
                observer.observe(element);
            }
            move || {
                if let Some(observer) = observer {
                    observer.disconnect();
                }
                drop(measure);
            }
        }
    });
    *width
}
