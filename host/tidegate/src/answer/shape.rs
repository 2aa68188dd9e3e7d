//! Where platforms put their errors, after their documentation.

/// One place of an answer that may hold an error.
pub struct Shape {
    /// The names on the way to the object, none for the top level; `*` at the beginning of one stands for anything. A
    /// list there is an object for each item.
    at: &'static [&'static str],
    /// The fields of the code, the first that is there counts; so with the others.
    pub code: &'static [&'static str],
    pub sub_code: &'static [&'static str],
    pub message: &'static [&'static str],
    pub failed: Failed,
}

/// How an object shows that the call failed.
pub enum Failed {
    /// It is there.
    Present,
    /// Its code is there and none of these.
    CodeNot(&'static [&'static str]),
    /// Its code is one of these.
    CodeAmong(&'static [&'static str]),
    /// This field has this value.
    If(&'static str, &'static str),
    /// This field has not this value.
    Unless(&'static str, &'static str),
}

use Failed::{CodeAmong, CodeNot, If, Present, Unless};

type Names = &'static [&'static str];

const fn shape(at: Names, code: Names, sub_code: Names, message: Names, failed: Failed) -> Shape {
    Shape { at, code, sub_code, message, failed }
}

/// The shapes of a platform's errors, the first that failed counts; none where only the HTTP status tells.
pub fn of(platform: &str) -> &'static [Shape] {
    match platform {
        "taobao" | "tmall" => &TOP,
        "jd" => &JD,
        "pdd" => &PDD,
        "alibaba_1688" => &ALIBABA_1688,
        "alibaba_intl" => &ALIBABA_INTL,
        "aliexpress" => &ALIEXPRESS,
        "lazada" | "tiktok_shop" => &IOP,
        "douyin" => &DOUYIN,
        "kuaishou" => &KUAISHOU,
        "xiaohongshu" => &XIAOHONGSHU,
        "vipshop" => &VIPSHOP,
        "suning" => &SUNING,
        "shopee" => &SHOPEE,
        "amazon" | "walmart" => &ERRORS,
        "ebay" => &EBAY,
        _ => &[],
    }
}

const NO_SUCCESS: Failed = If("success", "false");

const TOP: [Shape; 1] = [shape(&["error_response"], &["code"], &["sub_code"], &["sub_msg", "msg"], Present)];

const JD: [Shape; 2] = [
    shape(&["error_response"], &["code"], &[], &["zh_desc", "en_desc"], Present),
    // The endpoint of tokens; answers of others are wrapped and have no code at the top.
    shape(&[], &["code"], &[], &["msg"], CodeNot(&["0"])),
];

const PDD: [Shape; 1] =
    [shape(&["error_response"], &["error_code"], &["sub_code"], &["sub_msg", "error_msg"], Present)];

const ALIBABA_1688: [Shape; 3] = [
    shape(&[], &["error_code", "errorCode"], &[], &["error_message", "errorMessage"], CodeNot(&[])),
    shape(&["result"], &["code"], &[], &["message"], NO_SUCCESS),
    shape(&[], &["code"], &[], &["message"], NO_SUCCESS),
];

const IOP: [Shape; 1] = [shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"]))];

const ALIBABA_INTL: [Shape; 2] = [
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"])),
    shape(&["result"], &["msg_code"], &[], &["message_info"], NO_SUCCESS),
];

const ALIEXPRESS: [Shape; 4] = [
    shape(&["error_response"], &["code"], &["sub_code", "type"], &["sub_msg", "msg"], Present),
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"])),
    // A success has codes of its own inside, whose names and meanings differ by API: only known errors count.
    shape(&["*_response"], &["rsp_code", "resp_code", "code"], &[], &["rsp_msg", "resp_msg", "msg"], INSIDE),
    shape(&["*_response", "*"], &["rsp_code", "resp_code"], &[], &["rsp_msg", "resp_msg"], INSIDE),
];
const INSIDE: Failed = CodeAmong(&["404", "405", "602", "605"]);

const DOUYIN: [Shape; 1] = [shape(&[], &["code"], &["sub_code"], &["sub_msg", "msg"], CodeNot(&["10000"]))];

const KUAISHOU: [Shape; 1] = [shape(&[], &["result"], &[], &["error_msg"], CodeNot(&["1"]))];

const XIAOHONGSHU: [Shape; 3] = [
    shape(&[], &["error_code"], &[], &["error_msg"], CodeNot(&["0"])),
    shape(&[], &["error_code"], &[], &["error_msg"], NO_SUCCESS),
    // Newer methods wrap a second answer.
    shape(&["data"], &["code"], &[], &["msg"], NO_SUCCESS),
];

const VIPSHOP: [Shape; 1] = [shape(&[], &["returnCode"], &[], &["returnMessage"], CodeNot(&["0"]))];

const SUNING: [Shape; 1] = [shape(&["sn_responseContent", "sn_error"], &["error_code"], &[], &["error_msg"], Present)];

const SHOPEE: [Shape; 1] = [shape(&[], &["error"], &[], &["message"], CodeNot(&[""]))];

const ERRORS: [Shape; 1] = [shape(&["errors"], &["code"], &["category"], &["message", "description"], Present)];

const EBAY: [Shape; 2] = [
    shape(&["errors"], &["errorId"], &["category"], &["longMessage", "message"], Present),
    // The older APIs, which put warnings among their errors.
    shape(
        &["*Response", "Errors"],
        &["ErrorCode"],
        &["ErrorClassification"],
        &["LongMessage", "ShortMessage"],
        Unless("SeverityCode", "Warning"),
    ),
];

impl Shape {
    /// How many names lead to it.
    pub const fn depth(&self) -> usize {
        self.at.len()
    }

    /// Whether the way to it goes on with `name`, so many names in.
    pub fn goes_on(&self, depth: usize, name: &str) -> bool {
        self.at.get(depth).is_some_and(|pattern| match pattern.strip_prefix('*') {
            Some(end) => name.ends_with(end),
            None => *pattern == name,
        })
    }

    /// Whether a field of this name is read.
    pub fn wants(&self, name: &str) -> bool {
        let asked = match self.failed {
            If(field, _) | Unless(field, _) => field == name,
            Present | CodeNot(_) | CodeAmong(_) => false,
        };
        asked || [self.code, self.sub_code, self.message].iter().any(|names| names.contains(&name))
    }
}
