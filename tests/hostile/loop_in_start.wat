;; Loops before it can be asked anything: a deadline that is set only for the call would come too late.
;; shell: retry
;; expect: refused "failed on a sample failure: deadline: ran longer than 1s"
(core module $guest
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
