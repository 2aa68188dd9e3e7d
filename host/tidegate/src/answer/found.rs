//! What was found in a body, whatever it is written in.

use super::shape::{Failed, Shape};

/// The most objects that are looked at; the first of a long list of errors tells enough.
const MOST_OBJECTS: usize = 16;
/// The longest text that is kept, in bytes; it goes to policies and logs.
const MAX_TEXT: usize = 8 * 1024;

/// The objects at the places where a platform puts its errors.
pub struct Found {
    shapes: &'static [Shape],
    objects: Vec<Object>,
}

struct Object {
    /// The index of its shape.
    shape: usize,
    fields: Vec<(String, String)>,
}

/// Where a reader is: the shapes that its way may still lead to, a bit each, and how many names it is in.
#[derive(Clone, Copy)]
pub struct Way {
    shapes: u32,
    depth: usize,
}

/// What an error says.
#[derive(Default)]
pub struct Told {
    pub code: Option<String>,
    pub sub_code: Option<String>,
    pub message: Option<String>,
}

impl Found {
    pub const fn new(shapes: &'static [Shape]) -> Self {
        Self { shapes, objects: vec![] }
    }

    /// The way at the top of a body.
    pub const fn top(&self) -> Way {
        Way { shapes: u32::MAX, depth: 0 }
    }

    /// The way on to `name`; `None` where it leads nowhere.
    pub fn down(&self, way: Way, name: &str) -> Option<Way> {
        let ahead = self.on(way).filter(|(_, shape)| shape.goes_on(way.depth, name));
        let shapes = ahead.fold(0, |shapes, (index, _)| shapes | 1 << index);
        (shapes != 0).then_some(Way { shapes, depth: way.depth + 1 })
    }

    /// An object begins here; what it answers is for [`Self::put`].
    pub fn open(&mut self, way: Way) -> usize {
        let opened = self.objects.len();
        let new = self.here(way).map(|(shape, _)| Object { shape, fields: vec![] });
        self.objects.extend(new);
        self.objects.truncate(MOST_OBJECTS);
        opened
    }

    /// Whether a field of an object here is read.
    pub fn wants(&self, way: Way, name: &str) -> bool {
        self.here(way).any(|(_, shape)| shape.wants(name))
    }

    /// Keeps a field of the object that was opened here; of fields of one name the last counts.
    pub fn put(&mut self, way: Way, opened: usize, name: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(MAX_TEXT)];
        let same = self.here(way).count();
        for object in self.objects.iter_mut().skip(opened).take(same) {
            object.fields.retain(|(known, _)| known != name);
            object.fields.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The first error, in the order of shapes.
    pub fn told(&self) -> Option<Told> {
        let of_shape = |index| self.objects.iter().filter(move |object| object.shape == index);
        let all = self.shapes.iter().enumerate();
        let mut all = all.flat_map(|(index, shape)| of_shape(index).map(move |object| (shape, object)));
        let (shape, object) = all.find(|(shape, object)| object.failed(shape))?;
        let [code, sub_code, message] =
            [shape.code, shape.sub_code, shape.message].map(|names| object.first(names).map(str::to_owned));
        Some(Told { code, sub_code, message })
    }

    fn on(&self, way: Way) -> impl Iterator<Item = (usize, &'static Shape)> + use<> {
        self.shapes.iter().enumerate().filter(move |(index, _)| way.shapes >> index & 1 == 1)
    }

    fn here(&self, way: Way) -> impl Iterator<Item = (usize, &'static Shape)> + use<> {
        self.on(way).filter(move |(_, shape)| shape.depth() == way.depth)
    }
}

impl Object {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.field(name))
    }

    fn failed(&self, shape: &Shape) -> bool {
        let code = self.first(shape.code);
        match shape.failed {
            Failed::Present => true,
            Failed::CodeNot(good) => code.is_some_and(|code| !good.contains(&code)),
            Failed::CodeAmong(bad) => code.is_some_and(|code| bad.contains(&code)),
            Failed::If(field, value) => self.field(field) == Some(value),
            Failed::Unless(field, value) => self.field(field) != Some(value),
        }
    }
}
