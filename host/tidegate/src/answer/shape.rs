//! Where platforms put their errors, after their documentation.

/// One place of an answer that may hold an error.
pub struct Shape {
    /// The way to the object, none for the top level; a number is an item of a list.
    pub at: &'static [&'static str],
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
    /// Its `success` is false.
    NotSuccess,
    /// This field has this value.
    Field(&'static str, &'static str),
}

use Failed::{CodeNot, Field, NotSuccess, Present};

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
    shape(&["result"], &["code"], &[], &["message"], NotSuccess),
    shape(&[], &["code"], &[], &["message"], NotSuccess),
];

const IOP: [Shape; 1] = [shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"]))];

const ALIBABA_INTL: [Shape; 2] = [
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"])),
    shape(&["result"], &["msg_code"], &[], &["message_info"], NotSuccess),
];

const ALIEXPRESS: [Shape; 2] = [
    shape(&["error_response"], &["code"], &["sub_code", "type"], &["sub_msg", "msg"], Present),
    shape(&[], &["code"], &["type"], &["message", "msg"], CodeNot(&["0"])),
];

const DOUYIN: [Shape; 1] = [shape(&[], &["code"], &["sub_code"], &["sub_msg", "msg"], CodeNot(&["10000"]))];

const KUAISHOU: [Shape; 1] = [shape(&[], &["result"], &[], &["error_msg"], CodeNot(&["1"]))];

const XIAOHONGSHU: [Shape; 3] = [
    shape(&[], &["error_code"], &[], &["error_msg"], CodeNot(&["0"])),
    shape(&[], &["error_code"], &[], &["error_msg"], NotSuccess),
    // Newer methods wrap a second answer.
    shape(&["data"], &["code"], &[], &["msg"], NotSuccess),
];

const VIPSHOP: [Shape; 1] = [shape(&[], &["returnCode"], &[], &["returnMessage"], CodeNot(&["0"]))];

const SUNING: [Shape; 1] = [shape(&["sn_responseContent", "sn_error"], &["error_code"], &[], &["error_msg"], Present)];

const SHOPEE: [Shape; 1] = [shape(&[], &["error"], &[], &["message"], CodeNot(&[""]))];

const ERRORS: [Shape; 1] = [shape(&["errors", "0"], &["code"], &["category"], &["message", "description"], Present)];

/// The older APIs put warnings among their errors.
const EBAY: [Shape; 2] = [
    shape(&["errors", "0"], &["errorId"], &["category"], &["longMessage", "message"], Present),
    shape(
        &["Errors"],
        &["ErrorCode"],
        &["ErrorClassification"],
        &["LongMessage", "ShortMessage"],
        Field("SeverityCode", "Error"),
    ),
];
